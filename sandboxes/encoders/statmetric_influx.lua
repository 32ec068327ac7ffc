--- Writes the metrics of a statistics message, which are its fields, as JSON for InfluxDB before 0.9.
---
--- For messages of type heka.statmetric whose metrics are fields, with the time in seconds as the field timestamp.
--@family encoder
--@sample
--  [output.influx]
--  type = "udp"
--  address = "127.0.0.1:4444"
--  match = 'Type == "heka.statmetric"'
--  encoder = "statmetric_influx"

require "cjson"

function process_message()
    local seconds = read_message("Fields[timestamp]")
    if type(seconds) ~= "number" then
        return -1, "there is no number in Fields[timestamp]"
    end
    local time = math.floor(seconds * 1000)
    local output = {}
    for _, field in ipairs(decode_message(read_message("raw")).Fields) do
        if field.name ~= "timestamp" then
            output[#output + 1] = { name = field.name, columns = { "time", "value" }, points = { { time, field.value[1] } } }
        end
    end
    if #output == 0 then
        return -2
    end
    inject_payload("json", "influx_stats", cjson.encode(output))
    return 0
end
