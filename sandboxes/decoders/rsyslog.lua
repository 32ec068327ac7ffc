--- Reads what rsyslog writes to files, by the template it writes with.
--@family decoder
--@option template string "%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n" The template in rsyslog's configuration; this is the traditional file format.
--@option type string "rsyslog" Type of the messages.
--@option hostname_keep boolean false Whether the Hostname of the reading host stays, and the line's becomes a field.
--@option payload_keep boolean false Whether the whole line stays as Payload, rather than its text alone.
--@sample
--  [input.messages]
--  type = "tail"
--  paths = "/var/log/syslog"
--  decoder = "rsyslog"
--
--  [decoder.rsyslog]
--  type = "rsyslog"
--  template = '%TIMESTAMP:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg%\n'

local syslog = require "syslog"

local message_type = read_config("type")
local hostname_keep = read_config("hostname_keep")
local payload_keep = read_config("payload_keep")
local grammar = syslog.build_rsyslog_grammar(read_config("template"))

-- Takes what is there under the first of these names out of the fields.
local function take(fields, ...)
    for _, name in ipairs{ ... } do
        local value = fields[name]
        if value then
            fields[name] = nil
            return value
        end
    end
end

function process_message()
    local line = read_message("Payload")
    local fields = grammar:match(line)
    if not fields then
        return -1, "the line does not fit the template"
    end
    local m = { Type = message_type, Fields = fields }
    m.Timestamp = take(fields, "timestamp", "timegenerated")
    local pri = take(fields, "pri", "pri-text") or {}
    m.Severity = pri.severity or take(fields, "syslogseverity", "syslogseverity-text", "syslogpriority", "syslogpriority-text")
    fields.syslogfacility = pri.facility or take(fields, "syslogfacility", "syslogfacility-text")
    local tag = take(fields, "syslogtag")
    if tag then
        fields.programname, m.Pid = tag.programname, tag.pid
    end
    fields.hostname = take(fields, "hostname", "source", "fromhost")
    if not hostname_keep then
        m.Hostname = take(fields, "hostname")
    end
    m.Payload = payload_keep and line or fields.msg
    fields.msg = nil
    inject_message(m)
    return 0
end
