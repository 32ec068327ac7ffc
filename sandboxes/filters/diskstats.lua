--- Graphs what a disk does: operations and sectors, and the time they take.
---
--- Reads the running totals that the decoder of /sys/block/*/stat makes, and shows by how much they grew in
--- each interval; a total that shrinks has been reset. One graph has the operations, the other the
--- milliseconds. Totals are told apart by the message's Hostname and Logger.
--@family filter
--@every 60s
--@match Type == "stats.diskstats"
--@option rows integer 1440 Intervals that the graphs show.
--@option sec_per_row integer 60 Seconds of an interval.
--@option anomaly_config string Checks to run on the graphs "Disk Stats" and "Time doing IO".
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with empty graphs.
--@sample
--  [filter.diskstats]
--  type = "diskstats"
--  match = 'Type == "stats.diskstats"'

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")

local function new(names, unit)
    local buffer = circular_buffer.new(rows, #names, sec_per_row)
    for column, name in ipairs(names) do
        buffer:set_header(column, name, unit)
    end
    return buffer
end

local OPERATIONS = { "WritesCompleted", "ReadsCompleted", "SectorsWritten", "SectorsRead", "WritesMerged", "ReadsMerged" }
local TIMES = { "TimeWriting", "TimeReading", "TimeDoingIO", "WeightedTimeDoingIO" }
local send_operations = graph.sender("Disk Stats", rows * sec_per_row)
local send_times = graph.sender("Time doing IO", rows * sec_per_row)

operations = new(OPERATIONS, "count")
times = new(TIMES, "ms")
totals = {} -- by source and field

-- Adds to each column by how much its field has grown.
local function grow(buffer, names, ns, before)
    for column, name in ipairs(names) do
        local total, last = read_message("Fields[" .. name .. "]"), before[name]
        if last and total >= last then
            buffer:add(ns, column, total - last)
        end
        before[name] = total
    end
end

local function complete(names)
    for _, name in ipairs(names) do
        if type(read_message("Fields[" .. name .. "]")) ~= "number" then
            return false, name
        end
    end
    return true
end

function process_message()
    for _, names in ipairs{ OPERATIONS, TIMES } do
        local ok, missing = complete(names)
        if not ok then
            return -1, "Fields[" .. missing .. "] is no number"
        end
    end
    local ns = read_message("Timestamp")
    local source = read_message("Hostname") .. " " .. read_message("Logger")
    totals[source] = totals[source] or {}
    grow(operations, OPERATIONS, ns, totals[source])
    grow(times, TIMES, ns, totals[source])
    return 0
end

function timer_event(ns)
    send_operations(ns, operations)
    send_times(ns, times)
    graph.finish(ns)
end
