--- Graphs the load of a system and its number of processes.
---
--- Reads the fields `1MinAvg`, `5MinAvg`, `15MinAvg` and `NumProcesses` that the decoder of /proc/loadavg
--- makes, keeps the largest value of each interval, and sends the graph each tick.
--@family filter
--@every 60s
--@match Type == "stats.loadavg"
--@option title string "LoadAvg Stats" Title of the graph.
--@option rows integer 1440 Intervals that the graph shows.
--@option sec_per_row integer 60 Seconds of an interval.
--@option anomaly_config string Checks to run on the graph.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.loadavg]
--  type = "loadavg"
--  match = 'Type == "stats.loadavg"'

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local title = read_config("title")
local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")
local send = graph.sender(title, rows * sec_per_row)
local NAMES = { "1MinAvg", "5MinAvg", "15MinAvg", "NumProcesses" }

cbuf = circular_buffer.new(rows, #NAMES, sec_per_row)
for column, name in ipairs(NAMES) do
    cbuf:set_header(column, name, "count", "max")
end

function process_message()
    local values = {}
    for column, name in ipairs(NAMES) do
        values[column] = read_message("Fields[" .. name .. "]")
        if type(values[column]) ~= "number" then
            return -1, "Fields[" .. name .. "] is no number"
        end
    end
    local ns = read_message("Timestamp")
    for column, value in ipairs(values) do
        cbuf:set(ns, column, value)
    end
    return 0
end

function timer_event(ns)
    send(ns, cbuf)
    graph.finish(ns)
end
