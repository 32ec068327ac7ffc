--- Graphs the memory of a system.
---
--- Reads the fields that the decoder of /proc/meminfo makes, in KiB, keeps the largest value of each
--- interval, and sends the graph each tick. Fields that a kernel does not have stay empty. Eight hours at a
--- minute a row fit the default `output_limit`; raise that together with `rows`.
--@family filter
--@every 60s
--@match Type == "stats.memstats"
--@option title string "Memory Stats" Title of the graph.
--@option rows integer 480 Intervals that the graph shows.
--@option sec_per_row integer 60 Seconds of an interval.
--@option anomaly_config string Checks to run on the graph.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.memstats]
--  type = "memstats"
--  match = 'Type == "stats.memstats"'
--  anomaly_config = 'mww("Memory Stats", 1, 60, 5, 0.0001, decreasing)'

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local title = read_config("title")
local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")
local send = graph.sender(title, rows * sec_per_row)
local NAMES = { "MemFree", "Cached", "Active", "Inactive", "VmallocUsed", "Shmem", "SwapCached", "SwapFree" }
local SWAP_USED = #NAMES + 1

cbuf = circular_buffer.new(rows, SWAP_USED, sec_per_row)
for column, name in ipairs(NAMES) do
    cbuf:set_header(column, name, "KiB", "max")
end
cbuf:set_header(SWAP_USED, "SwapUsed", "KiB", "max")

local function number(name)
    local value = read_message("Fields[" .. name .. "]")
    return type(value) == "number" and value or nil
end

function process_message()
    local ns, found = read_message("Timestamp"), false
    for column, name in ipairs(NAMES) do
        local value = number(name)
        if value then
            cbuf:set(ns, column, value)
            found = true
        end
    end
    local total, free = number("SwapTotal"), number("SwapFree")
    if total and free then
        cbuf:set(ns, SWAP_USED, total - free)
    end
    if not found then
        return -1, "the message has none of the fields MemFree, Cached, …"
    end
    return 0
end

function timer_event(ns)
    send(ns, cbuf)
    graph.finish(ns)
end
