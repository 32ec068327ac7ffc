--- Reads the query log of BIND 9.
--@family decoder
--@option type string "bind.query" Type of the messages.
--@option payload_keep boolean false Whether the line stays as Payload.
--@sample
--  [input.queries]
--  type = "tail"
--  paths = "/var/log/named/query.log"
--  decoder = "bind_query_log"

local bind = require "bind"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

function process_message()
    local line = read_message("Payload")
    local fields = bind.query_log:match(line)
    if not fields then
        return -1, "the line is no entry of BIND's query log"
    end
    local time = fields.Timestamp
    fields.Timestamp = nil
    fields.QueryLabels = bind.labels(fields.Query)
    if #fields.QueryLabels == 0 then
        fields.QueryLabels = nil -- the root
    end
    inject_message{ Type = message_type, Timestamp = time, Payload = payload_keep and line or nil, Fields = fields }
    return 0
end
