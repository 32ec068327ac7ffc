--- Merges the graphs that filters on many hosts send into one of all.
---
--- Takes payloads of type `cbufd`: what has changed in a circular buffer since it was last sent. Columns
--- aggregated as `sum` are added up; of `min` and `max` the smallest and largest are kept; `none` is left
--- out. A buffer whose shape changes begins anew. With `enable_delta` the result is sent as deltas too, for
--- the next level of aggregation. Each graph takes one of the messages that `max_timer_inject` allows,
--- deltas and the alert one each.
--@family filter
--@every 60s
--@match Fields[payload_type] == "cbufd"
--@option enable_delta boolean false Also send what has changed.
--@option anomaly_config string Checks to run on the graphs, by payload name.
--@option alert_throttle duration 1h Least time between two alerts.
--@option preservation_version integer 0 Raise it to begin with empty graphs.
--@sample
--  [filter.service_status]
--  type = "cbufd_aggregator"
--  match = 'Fields[payload_type] == "cbufd" && Fields[payload_name] == "HTTP Status"'
--  anomaly_config = 'roc("HTTP Status", 2, 15, 0, 1.5, true, false)'

require "circular_buffer"
local cbufd = require "cbufd"
local cjson = require "cjson"
local graph = require "graph"

_PRESERVATION_VERSION = read_config("preservation_version")

local enable_delta = read_config("enable_delta")
local senders = {}

cbufs = {} -- by payload name: {shape = text, cbuf = buffer}

-- What of a header describes the shape of the buffer.
local function shape(header)
    local columns = {}
    for n, c in ipairs(header.column_info) do
        columns[n] = c.name .. "," .. c.unit .. "," .. c.aggregation
    end
    return header.rows .. "x" .. header.columns .. "/" .. header.seconds_per_row .. " " .. table.concat(columns, " ")
end

local function buffer_for(name, header)
    local wanted = shape(header)
    local known = cbufs[name]
    if known and known.shape == wanted then
        return known
    end
    local buffer = circular_buffer.new(header.rows, header.columns, header.seconds_per_row, enable_delta)
    for column, c in ipairs(header.column_info) do
        buffer:set_header(column, c.name, c.unit, c.aggregation)
    end
    cbufs[name] = { shape = wanted, cbuf = buffer }
    return cbufs[name]
end

local function merge(buffer, aggregations, row)
    for column, value in ipairs(row) do
        local how = aggregations[column]
        if value ~= value then -- nothing changed here
        elseif how == "sum" then
            buffer:add(row.time, column, value)
        elseif how == "min" or how == "max" then
            buffer:set(row.time, column, value)
        end
    end
end

-- Remarks that come with the changes.
local function annotate(buffer, annotations)
    for _, a in ipairs(annotations or {}) do
        buffer:annotate(a.x * 1000000, a.col, a.shortText == "A" and "alert" or "info", a.text)
    end
end

local function take(data)
    local header = cjson.decode(data.header)
    local known = buffer_for(read_message("Fields[payload_name]") or "", header)
    local aggregations = {}
    for column, c in ipairs(header.column_info) do
        aggregations[column] = c.aggregation
    end
    for _, row in ipairs(data) do
        merge(known.cbuf, aggregations, row)
    end
    annotate(known.cbuf, header.annotations)
end

function process_message()
    return cbufd.process(take)
end

function timer_event(ns)
    for name, known in pairs(cbufs) do
        if not senders[name] then
            local rows, _, seconds = known.cbuf:get_configuration()
            senders[name] = graph.sender(name, rows * seconds)
        end
        senders[name](ns, known.cbuf:format("cbuf"))
        if enable_delta then
            inject_payload("cbufd", name, known.cbuf:format("cbufd"))
        end
    end
    graph.finish(ns)
end
