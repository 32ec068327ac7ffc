--- Writes the new rows of a filter's circular buffer as gauges for Librato.
---
--- It remembers the newest row of each buffer, so that each row is sent once; the newest one, which may still grow, is sent when
--- there is a newer one. At a buffer's first message all rows but the newest are sent.
--@family encoder
--@sample
--  [output.librato]
--  type = "file"
--  match = 'Type == "heka.sandbox-output" && Fields[payload_type] == "cbuf"'
--  dir = "/var/spool/librato"
--  name = "%Y%m%d%H%M.json"
--  encoder = "cbuf_librato"

require "cjson"

-- Time of the oldest row of the last message, by logger and name of the payload.
last_times = {}

-- The header of a buffer's text and its rows; nothing if it is none. Annotations in front are passed over.
local function parse(text)
    local header
    local rows = {}
    for line in text:gmatch("[^\n]+") do
        if header then
            rows[#rows + 1] = line
        else
            local ok, json = pcall(cjson.decode, line)
            if not ok or type(json) ~= "table" then
                return nil
            end
            header = not json.annotations and json or nil
        end
    end
    local whole = header and header.time and header.rows == #rows and (header.seconds_per_row or 0) > 0 and #rows > 1
    return whole and type(header.column_info) == "table" and #header.column_info == header.columns and header or nil, rows
end

-- Adds a gauge for each column of a row that has a value.
local function add_row(gauges, row, columns, time, source)
    local i = 0
    for value in row:gmatch("[^\t]+") do
        i = i + 1
        local number = tonumber(value)
        if columns[i] and number and number == number then
            gauges[#gauges + 1] = { name = columns[i].name, source = source, value = number, measure_time = time }
        elseif not columns[i] or value ~= "nan" then
            return false
        end
    end
    return true
end

function process_message()
    local header, rows = parse(read_message("Payload"))
    if not header then
        return -1, "the payload is not the text of a circular buffer"
    end
    local key = read_message("Logger") .. ":" .. (read_message("Fields[payload_name]") or "")
    local first, last = 1, last_times[key]
    if last then
        local passed = header.time - last
        if passed == 0 then
            return -2
        elseif passed < 0 or passed % header.seconds_per_row ~= 0 then
            return -1, "the rows do not go on where those of the message before ended"
        end
        first = math.max(1, #rows - passed // header.seconds_per_row)
    end
    local gauges, source = {}, read_message("Hostname")
    for i = first, #rows - 1 do
        if not add_row(gauges, rows[i], header.column_info, header.time + (i - 1) * header.seconds_per_row, source) then
            return -1, "row " .. i .. " is not one of numbers"
        end
    end
    last_times[key] = header.time
    if #gauges == 0 then
        return -2
    end
    inject_payload("json", "output", cjson.encode({ gauges = gauges }))
    return 0
end
