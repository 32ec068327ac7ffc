--- Graphs slow queries of MySQL: how many there are, and what they take on average.
---
--- Reads the fields `Query_time`, `Lock_time`, `Rows_examined` and `Rows_sent` that the decoders of slow
--- query logs make, and shows their means in each interval and the number of queries.
--@family filter
--@every 60s
--@match Type == "mysql.slow-query"
--@option title string "Statistics" Title of the graph.
--@option rows integer 1440 Intervals that the graph shows.
--@option sec_per_row integer 60 Seconds of an interval.
--@option anomaly_config string Checks to run on the graph.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.slow_queries]
--  type = "mysql_slow_query"
--  match = 'Type == "mysql.slow-query"'
--  anomaly_config = 'mww_nonparametric("Statistics", 5, 15, 10, 0.8)'

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local title = read_config("title")
local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")
local send = graph.sender(title, rows * sec_per_row)

-- Of each field the label, the unit, and how many of a unit are shown.
local FIELDS = {
    { name = "Query_time", label = "Query Time", unit = "s", per_unit = 1000 },
    { name = "Lock_time", label = "Lock Time", unit = "s", per_unit = 1000 },
    { name = "Rows_examined", label = "Rows Examined", unit = "count", per_unit = 1 },
    { name = "Rows_sent", label = "Rows Sent", unit = "count", per_unit = 1 },
}
local COUNT = #FIELDS + 1

data = circular_buffer.new(rows, COUNT, sec_per_row)
sums = circular_buffer.new(rows, #FIELDS, sec_per_row)
for column, field in ipairs(FIELDS) do
    data:set_header(column, field.label, field.unit, "none")
end
data:set_header(COUNT, "Count")

function process_message()
    local values = {}
    for column, field in ipairs(FIELDS) do
        values[column] = read_message("Fields[" .. field.name .. "]")
        if type(values[column]) ~= "number" then
            return -1, "Fields[" .. field.name .. "] is no number"
        end
    end
    local ns = read_message("Timestamp")
    local count = data:add(ns, COUNT, 1)
    if not count then
        return 0 -- older than the graph
    end
    for column, field in ipairs(FIELDS) do
        local mean = sums:add(ns, column, values[column]) / count
        data:set(ns, column, math.floor(mean * field.per_unit + 0.5) / field.per_unit)
    end
    return 0
end

function timer_event(ns)
    send(ns, data)
    graph.finish(ns)
end
