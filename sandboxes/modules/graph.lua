-- What every filter that graphs a circular buffer does with it: checks it, alerts, and sends its text.
--
-- The checks come from the option `anomaly_config`, the least time between two alerts, in seconds, from
-- `alert_throttle`.

local alert = require "alert"
local annotation = require "annotation"
local anomaly = require "anomaly"
local M = {}

local checks = anomaly.parse_config(read_config("anomaly_config"))
local throttle = read_config("alert_throttle")
if throttle then
    alert.set_throttle(math.floor(throttle * 1e9))
end

--- A function that sends a buffer's graph under this title, and queues an alert when a check finds
--- something. Annotations are kept for as long as the buffer's rows.
---@param title string payload_name, and the name of the graph in `anomaly_config`
---@param seconds number what all rows of the buffer last
---@return fun(ns: integer, buffer: circular_buffer)
function M.sender(title, seconds)
    if not checks then
        return function(_, buffer)
            inject_payload("cbuf", title, buffer)
        end
    end
    annotation.set_prune(title, math.floor(seconds * 1e9))
    return function(ns, buffer)
        local found, marks = anomaly.detect(ns, title, buffer, checks)
        if alert.queue(ns, found) then
            annotation.concat(title, marks)
        end
        inject_payload("cbuf", title, annotation.prune(title, ns), buffer)
    end
end

--- Sends what all senders have queued, as one alert.
---@param ns integer time in nanoseconds
function M.finish(ns)
    alert.send_queue(ns)
end

return M
