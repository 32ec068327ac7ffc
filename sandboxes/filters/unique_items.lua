--- Counts how many different items there are each day, such as active users.
---
--- The count is an estimate (HyperLogLog, about 1 % off) that takes little memory however many there are. The
--- graph shows a year of days. A day is one of UTC, and messages older than the newest day count for nothing.
--- With `enable_delta` the changes are sent too, for an aggregator.
--@family filter
--@every 60s
--@option message_variable string required Header or field that holds the item, such as Fields[uid].
--@option title string Title of the graph; by default "Estimated Unique Daily " and the variable.
--@option enable_delta boolean false Also send what has changed.
--@option preservation_version integer 0 Raise it to begin with an empty graph.
--@sample
--  [filter.daily_users]
--  type = "unique_items"
--  match = 'Type == "request" && Fields[uid] != NIL'
--  message_variable = "Fields[uid]"
--  title = "Estimated Active Daily Users"

require "circular_buffer"
require "hyperloglog"

_PRESERVATION_VERSION = read_config("preservation_version")

local variable = read_config("message_variable")
local title = read_config("title") or "Estimated Unique Daily " .. variable
local enable_delta = read_config("enable_delta")
local DAY = 86400

active_day = 0
hll = hyperloglog.new()
active = circular_buffer.new(365, 1, DAY, enable_delta)
active:set_header(1, variable:match("^Fields%[([^%]]+)%]") or variable)

function process_message()
    local ns = read_message("Timestamp")
    local day = ns // (DAY * 1000000000)
    if day < active_day then
        return 0
    end
    local item = read_message(variable)
    if type(item) ~= "string" and type(item) ~= "number" then
        return -1, variable .. " is neither text nor a number"
    end
    if day > active_day then
        active_day = day
        hll:clear()
    end
    if hll:add(item) then
        active:set(ns, 1, hll:count())
    end
    return 0
end

function timer_event()
    inject_payload("cbuf", title, active:format("cbuf"))
    if enable_delta then
        inject_payload("cbufd", title, active:format("cbufd"))
    end
end
