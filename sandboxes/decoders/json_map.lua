--- Reads JSON objects of any shape: nested ones are flattened, and keys can be mapped to headers.
---
--- The native decoder `json` does the same for most, many times faster; this one is for mappings and timestamps of your own.
--@family decoder
--@option type string "json" Type of the messages, unless `Type` names a key.
--@option payload_keep boolean false Whether the text stays as Payload.
--@option map_fields boolean false Whether the keys named below become headers instead of fields.
--@option Uuid string "" Key of the Uuid.
--@option Type string "" Key of the Type.
--@option Logger string "" Key of the Logger.
--@option Hostname string "" Key of the Hostname.
--@option Severity string "" Key of the Severity.
--@option EnvVersion string "" Key of the EnvVersion.
--@option Pid string "" Key of the Pid.
--@option Payload string "" Key of the Payload.
--@option Timestamp string "" Key of the time.
--@option timestamp_format string "" How the time is written, as for strftime; empty: RFC 3339, or a number of seconds.
--@option maximum_depth integer 0 Depth of nesting that is flattened; deeper objects stay JSON text. 0: any.
--@option separator string "." What stands between the keys of nested objects.
--@sample
--  [decoder.app]
--  type = "json_map"
--  map_fields = true
--  Timestamp = "ts"
--  Severity = "level"
--  Payload = "message"

require "cjson"
local dt = require "date_time"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")
local separator = read_config("separator")
local maximum_depth = read_config("maximum_depth")
local format = read_config("timestamp_format")
local time_grammar = format ~= "" and dt.build_strftime_grammar(format) or dt.rfc3339

local headers = {}
if read_config("map_fields") then
    for _, header in ipairs{ "Uuid", "Type", "Logger", "Hostname", "Severity", "EnvVersion", "Pid", "Payload", "Timestamp" } do
        local key = read_config(header)
        if key ~= "" then
            headers[header] = key
        end
    end
end

local function flatten(object, prefix, depth, fields)
    for key, value in pairs(object) do
        local name = prefix .. tostring(key)
        if type(value) ~= "table" then
            fields[name] = value
        elseif maximum_depth > 0 and depth >= maximum_depth then
            fields[name] = cjson.encode(value)
        else
            local of_one_type = #value > 0
            for _, item in ipairs(value) do
                of_one_type = of_one_type and type(item) ~= "table" and type(item) == type(value[1])
            end
            if of_one_type then
                fields[name] = value
            else
                flatten(value, name .. separator, depth + 1, fields)
            end
        end
    end
    return fields
end

local function time_of(value)
    if type(value) == "number" then
        return dt.seconds_to_ns(value)
    end
    return type(value) == "string" and dt.time_to_ns(time_grammar:match(value)) or nil
end

function process_message()
    local text = read_message("Payload")
    local ok, json = pcall(cjson.decode, text)
    if not ok then
        return -1, json
    end
    if type(json) ~= "table" then
        return -1, "an object was expected, this is a " .. type(json)
    end
    local fields = flatten(json, "", 1, {})
    local m = { Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    for header, key in pairs(headers) do
        local value = fields[key]
        if value ~= nil then
            if header == "Timestamp" then
                value = time_of(value)
                if not value then
                    return -1, "the time in '" .. key .. "' is not as timestamp_format says"
                end
            elseif header == "Severity" or header == "Pid" then
                value = math.tointeger(tonumber(value))
            else
                value = tostring(value)
            end
            m[header] = value
            fields[key] = nil
        end
    end
    inject_message(m)
    return 0
end
