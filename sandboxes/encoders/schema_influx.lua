--- Writes a message as JSON for InfluxDB before 0.9: headers and fields are the columns of one point.
---
--- Use schema_influx_line for InfluxDB 0.9 and later.
--@family encoder
--@option series string "series" Name of the series; may hold %{Logger} or %{field}.
--@option skip_fields string Names of headers and fields to leave out, parted by spaces.
--@option multi_series boolean false A series for each field, named series.field, with one value each.
--@option exclude_base_fields boolean false Leave out all headers.
--@sample
--  [output.influx]
--  type = "udp"
--  address = "127.0.0.1:4444"
--  match = 'Type == "app.event"'
--  encoder = "points"
--
--  [encoder.points]
--  type = "schema_influx"
--  series = "heka.%{Logger}"
--  skip_fields = "Pid EnvVersion"

require "cjson"
local field_util = require "field_util"

local series = read_config("series") or "series"
local multi_series = read_config("multi_series")
local skip = field_util.field_map(read_config("skip_fields") or "**none**")
local headers = {}
for _, name in ipairs{ "Type", "Payload", "Hostname", "Pid", "Logger", "Severity", "EnvVersion" } do
    if not skip[name] and not read_config("exclude_base_fields") then
        headers[#headers + 1] = name
    end
end

local BYTES = 1 -- the type of a field whose values are bytes

-- The fields as a list of {name, value}; a name that was there before gets a number.
local function fields()
    local found, seen = {}, {}
    for _, field in ipairs(decode_message(read_message("raw")).Fields or {}) do
        local name = field.name
        if name ~= "Timestamp" and field.value_type ~= BYTES and not skip[name] then
            seen[name] = (seen[name] or 0) + 1
            found[#found + 1] = { seen[name] > 1 and name .. seen[name] or name, #field.value == 1 and field.value[1] or field.value }
        end
    end
    return found
end

-- Headers as columns, and the values of one point.
local function base()
    local columns, values = { "time" }, { read_message("Timestamp") // 1000000 }
    for _, name in ipairs(headers) do
        columns[#columns + 1] = name
        values[#values + 1] = read_message(name)
    end
    return columns, values
end

function process_message()
    local name = field_util.field_interp(series)
    local output = {}
    if multi_series then
        for _, field in ipairs(fields()) do
            local columns, values = base()
            columns[#columns + 1], values[#values + 1] = "value", field[2]
            output[#output + 1] = { name = name .. "." .. field[1], columns = columns, points = { values } }
        end
    else
        local columns, values = base()
        for _, field in ipairs(fields()) do
            columns[#columns + 1], values[#values + 1] = field[1], field[2]
        end
        output[1] = { name = name, columns = columns, points = { values } }
    end
    if #output == 0 then
        return -2
    end
    inject_payload("json", "influx_message", cjson.encode(output))
    return 0
end
