--- Alarms when the number of messages changes suddenly, up or down.
---
--- Counts messages between ticks and compares each count with what was usual: an exponentially
--- weighted mean and mean deviation of earlier counts. An alarm wants the count to be off by
--- `deviations` deviations and by `min_change` messages. What is unusual enters the mean more slowly, so that
--- one spike does not hide the next. Each alarm, and the return to the usual, is one message of Type
--- `heka.sandbox.rate`.
--@family filter
--@every 10s
--@option deviations number 6 Mean deviations from the usual that alarm.
--@option min_change integer 10 Smallest change in messages that alarms.
--@option weight number 0.1 Weight of the newest count, between 0 and 1.
--@option warm_up integer 12 Ticks before the first alarm.
--@option name string "messages" What is counted, for the text.
--@sample
--  [filter.login_rate]
--  type = "rate_of_change"
--  match = 'Type == "login"'
--  name = "logins"

local deviations = read_config("deviations")
local min_change = read_config("min_change")
local weight = read_config("weight")
local warm_up = read_config("warm_up")
local name = read_config("name")

count = 0
ticks = 0
mean = 0.0
deviation = 0.0
unusual = false

function process_message()
    count = count + 1
    return 0
end

local function tell(seen, high)
    local text = unusual and string.format("%d %s in this interval, usual are %.1f (mean deviation %.1f)", seen, name, mean, deviation)
        or string.format("%d %s in this interval: as usual again", seen, name)
    inject_message{
        Type = "rate",
        Severity = unusual and 4 or 6,
        Payload = text,
        Fields = { name = name, count = seen, usual = mean, unusual = unusual, direction = unusual and (high and "up" or "down") or "none" },
    }
end

function timer_event()
    local seen = count
    count = 0
    ticks = ticks + 1
    if ticks == 1 then
        mean = seen + 0.0
        return
    end
    local off = math.abs(seen - mean)
    local now = ticks > warm_up and off >= min_change and off > deviations * math.max(deviation, math.sqrt(mean) * 0.8)
    if now ~= unusual then
        unusual = now
        tell(seen, seen > mean)
    end
    local w = now and weight / 4 or weight
    deviation = deviation + w * (off - deviation)
    mean = mean + w * (seen - mean)
end
