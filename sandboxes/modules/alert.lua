-- Alerts: payloads of type "alert", for an output that mails or posts them.
--
-- Between two alerts lies at least the throttle, an hour unless set; the time of the last one is a global,
-- so that it is kept with the script's state. A time of 0 is never throttled.

local M = {}

-- Kept with the script's state, in nanoseconds.
_LAST_ALERT = 0

local throttle = 3600000000000
local waiting = {}

--- Sets the least time between two alerts.
---@param ns integer nanoseconds
function M.set_throttle(ns)
    throttle = ns
end

--- Whether an alert at this time would be held back.
---@param ns integer time in nanoseconds; 0: never
---@return boolean
function M.throttled(ns)
    return ns ~= 0 and (ns < _LAST_ALERT or ns - _LAST_ALERT <= throttle)
end

--- Sends an alert, unless it is throttled or says nothing.
---@param ns integer time in nanoseconds
---@param text? string
---@return boolean sent
function M.send(ns, text)
    if not text or text == "" or M.throttled(ns) then
        return false
    end
    inject_payload("alert", "", text)
    _LAST_ALERT = ns
    return true
end

--- Adds a line to the next alert, unless it is throttled or says nothing.
---@param ns integer time in nanoseconds
---@param text? string
---@return boolean queued
function M.queue(ns, text)
    if not text or text == "" or M.throttled(ns) then
        return false
    end
    waiting[#waiting + 1] = text
    return true
end

--- Sends what has been queued as one alert.
---@param ns integer time in nanoseconds
---@return boolean sent
function M.send_queue(ns)
    if #waiting == 0 then
        return false
    end
    local text = table.concat(waiting, "\n")
    waiting = {}
    return M.send(ns, text)
end

return M
