--- Graphs chosen metrics.
---
--- Takes them from messages of Type `metric` (fields `name` and `value`), and from Heka's statmetric
--- messages, which have a field for each metric and `timestamp` in seconds. Values of one interval are
--- added up, or the smallest, largest or last is kept, as `aggregation` says.
--@family filter
--@every 10s
--@option title string "Stats" Title of the graph.
--@option rows integer 300 Intervals that the graph shows.
--@option sec_per_row integer 1 Seconds of an interval.
--@option stats string required Names of the metrics, with spaces between.
--@option stat_labels string Labels of their columns, in the same order; by default the names. 15 characters are shown.
--@option aggregation string "sum" How the values of an interval become one: sum, min, max, or none for the last.
--@option anomaly_config string Checks to run on the graph.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.hits]
--  type = "stat_graph"
--  match = 'Type == "metric"'
--  title = "Hits and Misses"
--  rows = 1440
--  sec_per_row = 10
--  stats = "stats.counters.hits.count stats.counters.misses.count"
--  stat_labels = "hits misses"
--  anomaly_config = 'roc("Hits and Misses", 1, 15, 0, 1.5, true, false)'

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local function words(text)
    local found = {}
    for word in string.gmatch(text, "%S+") do
        found[#found + 1] = word
    end
    return found
end

local title = read_config("title")
local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")
local aggregation = read_config("aggregation")
local send = graph.sender(title, rows * sec_per_row)
local stats = words(read_config("stats"))
local labels = words(read_config("stat_labels") or read_config("stats"))

assert(#stats > 0, "stats names no metric")
assert(#stats == #labels, "stats and stat_labels must have the same number of names")

cbuf = circular_buffer.new(rows, #stats, sec_per_row)
local columns = {}
for column, name in ipairs(stats) do
    cbuf:set_header(column, labels[column], "count", aggregation)
    columns[name] = column
end
local put = aggregation == "sum" and cbuf.add or cbuf.set

local function metric_message()
    local column, value = columns[read_message("Fields[name]") or ""], read_message("Fields[value]")
    if column and type(value) == "number" then
        put(cbuf, read_message("Timestamp"), column, value)
    end
    return 0
end

function process_message()
    if read_message("Type") == "metric" then
        return metric_message()
    end
    local seconds = read_message("Fields[timestamp]")
    if type(seconds) ~= "number" then
        return -1, "this is neither a metric nor has it a number in Fields[timestamp]"
    end
    for column, name in ipairs(stats) do
        local value = read_message("Fields[" .. name .. "]")
        if type(value) == "number" then
            put(cbuf, math.floor(seconds * 1e9), column, value)
        end
    end
    return 0
end

function timer_event(ns)
    send(ns, cbuf)
    graph.finish(ns)
end
