--- Alarms when the error budget of a service level objective burns too fast.
---
--- The burn rate is the share of bad events over the share the objective allows: at 1 the budget lasts
--- exactly as long as its period. An alarm wants both a long and a short window above the threshold
--- (the multi-window method of Google's Site Reliability Workbook, chapter 5): the long one so that it
--- matters, the short one so that the alarm ends soon after the trouble. Each change of state is one
--- message of Type `heka.sandbox.slo` with the rates, and each tick sends the long window's burn rate
--- as a metric.
--@family filter
--@every 60s
--@option objective number 0.999 Share of events that must be good.
--@option field string "status" Field that tells good from bad.
--@option bad_from number 500 Values from here on are bad.
--@option long_minutes integer 60 The long window.
--@option short_minutes integer 5 The short window.
--@option threshold number 14.4 Burn rate from which both windows alarm: 14.4 spends 2 % of 30 days' budget in an hour.
--@option name string "error_budget" Name of the metric and the objective.
--@sample
--  [filter.checkout_slo]
--  type = "error_budget"
--  match = 'Type == "nginx.access"'
--  objective = 0.999

require "circular_buffer"

local field = "Fields[" .. read_config("field") .. "]"
local bad_from = read_config("bad_from")
local allowed = 1 - read_config("objective")
local long, short = read_config("long_minutes"), read_config("short_minutes")
local threshold = read_config("threshold")
local name = read_config("name")
local MINUTE = 60 * 1000000000
local ALL, BAD = 1, 2

assert(allowed > 0 and allowed < 1, "objective is a share below 1")
assert(short >= 1 and short < long, "short_minutes is at least 1 and below long_minutes")

events = circular_buffer.new(long + 1, 2, 60)
burning = false

function process_message()
    local value = tonumber(read_message(field))
    if not value then
        return -1, "the message has no number in " .. field
    end
    local ns = read_message("Timestamp")
    events:add(ns, ALL, 1)
    if value >= bad_from then
        events:add(ns, BAD, 1)
    end
    return 0
end

-- Burn rate over the minutes that end at ns.
local function burn(ns, minutes)
    local start = ns - (minutes - 1) * MINUTE
    local all = events:compute("sum", ALL, start, ns)
    local bad = events:compute("sum", BAD, start, ns)
    if not all or all ~= all or all == 0 or bad ~= bad then
        return 0
    end
    return bad / all / allowed
end

function timer_event(ns)
    local now = events:current_time()
    if ns > now then
        events:add(ns, ALL, 0)
        now = events:current_time()
    end
    local slow, fast = burn(now, long), burn(now, short)
    metric(name .. ".burn_rate", slow)
    local burns = slow >= threshold and fast >= threshold
    if burns == burning then
        return
    end
    burning = burns
    inject_message{
        Type = "slo",
        Severity = burns and 2 or 6,
        Payload = string.format("%s: the error budget %s: burn rate %.1f over %d minutes, %.1f over %d",
            name, burns and "burns too fast" or "is safe again", slow, long, fast, short),
        Fields = { objective = name, burning = burns, burn_rate_long = slow, burn_rate_short = fast },
    }
end
