--- Shows side by side what many hosts send of the same graph.
---
--- Takes payloads of type `cbufd`, and makes a graph of each of their columns that has a column for each
--- host. The column of a host that has been silent for `host_expiration` goes to the next new host, which is
--- taken for its replacement, with what it shows. Hosts beyond `max_hosts` are refused. Each graph takes one
--- of the messages that `max_timer_inject` allows.
--@family filter
--@every 60s
--@match Fields[payload_type] == "cbufd"
--@option max_hosts integer required Columns to make, one for each host.
--@option rows integer required Intervals that the graphs show; their length is that of the source.
--@option host_expiration duration 120s Silence after which a host may be replaced by another.
--@option preservation_version integer 0 Raise it to begin with empty graphs.
--@sample
--  [filter.status_by_host]
--  type = "cbufd_host_aggregator"
--  match = 'Fields[payload_type] == "cbufd" && Fields[payload_name] == "HTTP Status"'
--  max_hosts = 5
--  rows = 60

require "circular_buffer"
local cbufd = require "cbufd"
local cjson = require "cjson"

_PRESERVATION_VERSION = read_config("preservation_version")

local max_hosts, rows = read_config("max_hosts"), read_config("rows")
local expiration = math.floor(read_config("host_expiration") * 1e9)
local STACKED = '{"options":{"stackedGraph":true,"fillGraph":true}}\n'

hosts = {} -- by name: {index = column, last_update = ns}
hosts_size = 0
payloads = {} -- by name: a list of {name =, unit =, aggregation =, cbuf = buffer}, one for each column

local function label(host, index)
    for _, columns in pairs(payloads) do
        for _, column in ipairs(columns) do
            column.cbuf:set_header(index, host, column.unit, column.aggregation)
        end
    end
end

-- The host that has been silent for longest, if that is long enough.
local function expired(ns)
    local oldest
    for name, host in pairs(hosts) do
        if ns - host.last_update >= expiration and (not oldest or host.last_update < hosts[oldest].last_update) then
            oldest = name
        end
    end
    return oldest
end

local function host_for(name, ns)
    local host = hosts[name]
    if host then
        host.last_update = math.max(host.last_update, ns)
        return host
    end
    if hosts_size < max_hosts then
        hosts_size = hosts_size + 1
        host = { index = hosts_size, last_update = ns }
    else
        local gone = expired(ns)
        if not gone then
            return nil
        end
        host = { index = hosts[gone].index, last_update = ns }
        hosts[gone] = nil
    end
    hosts[name] = host
    label(name, host.index)
    return host
end

local function columns_for(name, header)
    if payloads[name] then
        return payloads[name]
    end
    local columns = {}
    for n, c in ipairs(header.column_info) do
        local buffer = circular_buffer.new(rows, max_hosts, header.seconds_per_row)
        for host, known in pairs(hosts) do
            buffer:set_header(known.index, host, c.unit, c.aggregation)
        end
        columns[n] = { name = c.name, unit = c.unit, aggregation = c.aggregation, cbuf = buffer }
    end
    payloads[name] = columns
    return columns
end

local function merge(columns, index, row)
    for n, value in ipairs(row) do
        local column = columns[n]
        if not column or value ~= value then -- unknown, or nothing changed here
        elseif column.aggregation == "sum" then
            column.cbuf:add(row.time, index, value)
        elseif column.aggregation == "min" or column.aggregation == "max" then
            column.cbuf:set(row.time, index, value)
        end
    end
end

local function take(data)
    local columns = columns_for(read_message("Fields[payload_name]") or "", cjson.decode(data.header))
    local host = host_for(read_message("Hostname"), read_message("Timestamp"))
    if not host then
        error("there are more than " .. max_hosts .. " hosts: raise max_hosts")
    end
    for _, row in ipairs(data) do
        merge(columns, host.index, row)
    end
end

function process_message()
    return cbufd.process(take)
end

function timer_event()
    for name, columns in pairs(payloads) do
        for _, column in ipairs(columns) do
            inject_payload("cbuf", name .. " (" .. column.name .. ")", STACKED, column.cbuf)
        end
    end
end
