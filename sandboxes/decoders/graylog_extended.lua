--- Reads GELF, the JSON of Graylog.
--@family decoder
--@option type string "graylog" Type of the messages.
--@option payload_keep boolean false Whether the JSON text stays as Payload, rather than its message alone.
--@sample
--  [input.gelf]
--  type = "udp"
--  listen = "127.0.0.1:12201"
--  decoder = "graylog_extended"

require "cjson"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")
local SKIP = { version = true, host = true, short_message = true, full_message = true, timestamp = true, level = true }

function process_message()
    local text = read_message("Payload")
    local ok, json = pcall(cjson.decode, text)
    if not ok then
        return -1, json
    end
    if type(json) ~= "table" or type(json.host) ~= "string" or type(json.short_message) ~= "string" then
        return -1, "GELF wants at least the texts host and short_message"
    end
    local fields = {}
    for key, value in pairs(json) do
        if not SKIP[key] and type(value) ~= "table" then
            fields[string.gsub(key, "^_", "")] = value
        end
    end
    fields.full_message = json.full_message
    inject_message{
        Type = message_type,
        Timestamp = type(json.timestamp) == "number" and math.floor(json.timestamp * 1000) * 1000000 or nil,
        Hostname = json.host,
        Severity = math.tointeger(json.level),
        Payload = payload_keep and text or json.short_message,
        Fields = fields,
    }
    return 0
end
