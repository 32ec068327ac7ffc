--- Alerts when a host falls silent, and when it is back.
---
--- Every message is a sign of life of the host it names. Each tick sends all hosts as JSON with payload type
--- `json` and name `heartbeat`: last_heartbeat and last_alert in milliseconds, and status, up or down. Hosts
--- silent for `forget` are dropped, so that the list does not grow for ever.
--@family filter
--@every 30s
--@match Type == "heartbeat"
--@option heartbeat_timeout duration 30s Silence after which a host is down.
--@option alert_throttle duration 300s Least time between two alerts for the same host.
--@option recovery boolean true Also alert when a host that was down is back.
--@option forget duration 7d Silence after which a host is dropped.
--@option preservation_version integer 0 Raise it to begin without hosts.
--@sample
--  [filter.heartbeat]
--  type = "heartbeat"
--  match = 'Type == "heartbeat"'
--  heartbeat_timeout = "30s"
--  alert_throttle = "300s"

local alert = require "alert"
local cjson = require "cjson"

_PRESERVATION_VERSION = read_config("preservation_version")

local timeout = read_config("heartbeat_timeout") * 1000
local throttle = read_config("alert_throttle") * 1000
local forget = read_config("forget") * 1000
local recovery = read_config("recovery")
alert.set_throttle(-1) -- each host has its own

hosts = {}

function process_message()
    local ms = read_message("Timestamp") // 1000000
    local name = read_message("Hostname")
    local host = hosts[name]
    if not host then
        hosts[name] = { last_heartbeat = ms, last_alert = 0, status = "up" }
    elseif ms > host.last_heartbeat then
        host.last_heartbeat = ms
    end
    return 0
end

local function check(ns, name, host)
    local ms = ns // 1000000
    local down = ms - host.last_heartbeat > timeout
    if down and ms - host.last_alert > throttle then
        alert.queue(ns, "Missing Heartbeat - " .. name)
        host.last_alert = ms
    elseif recovery and not down and host.status == "down" then
        alert.queue(ns, "Heartbeat is back - " .. name)
    end
    host.status = down and "down" or "up"
end

function timer_event(ns)
    local names = {}
    for name, host in pairs(hosts) do
        if ns // 1000000 - host.last_heartbeat > forget then
            hosts[name] = nil
        else
            names[#names + 1] = name
        end
    end
    table.sort(names)
    for _, name in ipairs(names) do
        check(ns, name, hosts[name])
    end
    alert.send_queue(ns)
    inject_payload("json", "heartbeat", cjson.encode(hosts))
end
