--- Tells quantiles of a duration by route: p50, p95 and p99 of the response time of each path.
---
--- Durations go into one sketch a route, so memory does not grow with traffic and a quantile is off by
--- one percent at most. Routes beyond `routes` share the route "(other)". Each tick sends one metric
--- for each route and quantile, and one with the number of requests, then begins anew: up to four messages a route, which `max_timer_inject` has to allow.
--@family filter
--@every 60s
--@limit max_timer_inject 1000
--@option field string "request_time" Field with the duration.
--@option route string "request" Field with the route. Of a request line, the path without its query counts.
--@option name string "latency" Name of the metrics.
--@option routes integer 200 Routes told apart.
--@option accuracy number 0.01 Relative error of a quantile.
--@sample
--  [filter.latency]
--  type = "latency_by_route"
--  match = 'Type == "nginx.access"'
--  routes = 100

require "ddsketch"

local field = "Fields[" .. read_config("field") .. "]"
local route_field = "Fields[" .. read_config("route") .. "]"
local name = read_config("name")
local max_routes = read_config("routes")
local accuracy = read_config("accuracy")
local quantiles = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } }

sketches = {}
routes = 0

-- "GET /a/b?c=d HTTP/1.1" and "/a/b?c=d" are both the route "/a/b".
local function route_of(text)
    return string.match(text, "^%u+ ([^ ?]+)") or string.match(text, "^[^?]*")
end

function process_message()
    local duration = tonumber(read_message(field))
    local text = read_message(route_field)
    if not duration or type(text) ~= "string" then
        return -1, "the message has no duration or no route"
    end
    local route = route_of(text)
    local sketch = sketches[route]
    if not sketch then
        if routes >= max_routes then
            route = "(other)"
            sketch = sketches[route]
        else
            routes = routes + 1
        end
        if not sketch then
            sketch = ddsketch.new(accuracy)
            sketches[route] = sketch
        end
    end
    sketch:add(duration)
    return 0
end

function timer_event()
    local sorted = {}
    for route in pairs(sketches) do
        sorted[#sorted + 1] = route
    end
    table.sort(sorted)
    for _, route in ipairs(sorted) do
        local sketch = sketches[route]
        for _, quantile in ipairs(quantiles) do
            metric(name, sketch:quantile(quantile[2]), { route = route, quantile = quantile[1] })
        end
        metric(name .. ".count", sketch:count(), { route = route }, "counter")
    end
    sketches = {}
    routes = 0
end
