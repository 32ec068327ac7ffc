--- Graphs the responses of a web server by class of status.
---
--- Counts `Fields[status]` in columns for 1xx to 5xx and for anything else, a row for each interval, and
--- sends the graph each tick. `anomaly_config` names checks of it by its title and column: 2 is HTTP_200,
--- 5 is HTTP_500.
--@family filter
--@every 60s
--@option title string "HTTP Status" Title of the graph.
--@option rows integer 1440 Intervals that the graph shows.
--@option sec_per_row integer 60 Seconds of an interval.
--@option anomaly_config string Checks to run on the graph.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.http_status]
--  type = "http_status"
--  match = 'Type == "nginx.access"'
--  anomaly_config = '''
--    roc("HTTP Status", 2, 15, 0, 1.5, true, false)
--    mww_nonparametric("HTTP Status", 5, 15, 10, 0.8)'''

require "circular_buffer"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local title = read_config("title")
local rows, sec_per_row = read_config("rows"), read_config("sec_per_row")
local send = graph.sender(title, rows * sec_per_row)
local UNKNOWN = 6

status = circular_buffer.new(rows, UNKNOWN, sec_per_row)
for class = 1, 5 do
    status:set_header(class, "HTTP_" .. class .. "00")
end
status:set_header(UNKNOWN, "HTTP_UNKNOWN")

function process_message()
    local code = read_message("Fields[status]")
    if type(code) ~= "number" then
        return -1, "Fields[status] is no number"
    end
    local known = code >= 100 and code < 600
    status:add(read_message("Timestamp"), known and code // 100 or UNKNOWN, 1)
    return 0
end

function timer_event(ns)
    send(ns, status)
    graph.finish(ns)
end
