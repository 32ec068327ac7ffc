--- Reads access logs of Apache, by the server's own format string.
---
--- For formats that the native decoder `log_format` does not know, and for the transformation of user agents;
--- the native decoders `nginx` and `apache` cost a tenth. Units and kinds of addresses become representations of the fields.
--@family decoder
--@option log_format string required The `LogFormat` of Apache's configuration.
--@option type string "apache.access" Type of the messages.
--@option user_agent_transform boolean false Whether user_agent_browser, user_agent_version and user_agent_os are added.
--@option user_agent_keep boolean false Whether http_user_agent stays after that.
--@option user_agent_conditional boolean false Whether http_user_agent stays when it was not understood.
--@option payload_keep boolean false Whether the line stays as Payload.
--@sample
--  [input.access]
--  type = "tail"
--  paths = "/var/log/apache/access.log"
--  decoder = "access"
--
--  [decoder.access]
--  type = "apache_access"
--  log_format = '%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"'

local clf = require "common_log_format"

local decode = clf.access_log_decoder(clf.build_apache_grammar(read_config("log_format")))

function process_message()
    return decode(read_message("Payload"))
end
