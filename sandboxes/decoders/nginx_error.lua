--- Reads the error log of nginx.
--@family decoder
--@option type string "nginx.error" Type of the messages.
--@option payload_keep boolean false Whether the whole line stays as Payload, rather than its text alone.
--@sample
--  [input.errors]
--  type = "tail"
--  paths = "/var/log/nginx/error.log"
--  decoder = "nginx_error"

local clf = require "common_log_format"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

-- "…, client: 1.2.3.4, server: x, request: "GET / HTTP/1.1", host: "y"": what nginx adds about the request.
local function details(text, fields)
    for key, value in string.gmatch(text, ", (%a+): ([^,]+)") do
        fields[key] = string.match(value, '^"(.*)"$') or value
    end
    return (string.gsub(text, ", client: .*$", ""))
end

function process_message()
    local line = read_message("Payload")
    local t = clf.nginx_error_grammar:match(line)
    if not t then
        return -1, "the line is no entry of nginx's error log"
    end
    local text = details(t.Payload, t.Fields)
    t.Type = message_type
    t.Payload = payload_keep and line or text
    inject_message(t)
    return 0
end
