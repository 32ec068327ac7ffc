--- Puts the messages of one user, connection or request together into sessions.
---
--- A session is what one key does without a pause longer than `idle_seconds`. When it is over, one
--- message of Type `heka.sandbox.session` tells its key, start, duration, number of messages and the
--- first and last value of `path_field`. Beyond `max_sessions`, the session idle the longest is closed
--- early and marked so.
--@family filter
--@every 10s
--@limit max_timer_inject 200
--@option key string "remote_addr" Field that tells sessions apart.
--@option path_field string "request" Field whose first and last value are kept; empty: none.
--@option idle_seconds integer 1800 Pause that ends a session.
--@option max_sessions integer 5000 Sessions kept open at once.
--@option max_per_tick integer 200 Sessions told at one tick; the rest waits for the next. At most `max_timer_inject`.
--@sample
--  [filter.sessions]
--  type = "sessions"
--  match = 'Type == "nginx.access"'
--  key = "remote_addr"

local key_field = "Fields[" .. read_config("key") .. "]"
local path_field = read_config("path_field") ~= "" and "Fields[" .. read_config("path_field") .. "]"
local idle = read_config("idle_seconds") * 1000000000
local max_sessions = read_config("max_sessions")
local max_per_tick = read_config("max_per_tick")

sessions = {}
open = 0

local function tell(key, session, reason)
    inject_message{
        Type = "session",
        Timestamp = session.first,
        Fields = {
            key = key,
            messages = session.count,
            duration = { value = (session.last - session.first) / 1e9, representation = "s" },
            entry = session.entry,
            exit = session.exit,
            reason = reason,
        },
    }
    sessions[key] = nil
    open = open - 1
end

local function longest_idle()
    local oldest
    for key, session in pairs(sessions) do
        if not oldest or session.last < sessions[oldest].last then
            oldest = key
        end
    end
    return oldest
end

function process_message()
    local key = read_message(key_field)
    if key == nil then
        return -1, "the message has no " .. key_field
    end
    key = tostring(key)
    local ns = read_message("Timestamp")
    local session = sessions[key]
    if session and ns - session.last > idle then
        tell(key, session, "idle")
        session = nil
    end
    if not session then
        if open >= max_sessions then
            local oldest = longest_idle()
            tell(oldest, sessions[oldest], "too many")
        end
        session = { first = ns, last = ns, count = 0, entry = path_field and read_message(path_field) or nil }
        sessions[key] = session
        open = open + 1
    end
    session.count = session.count + 1
    if ns > session.last then
        session.last = ns
    end
    if path_field then
        session.exit = read_message(path_field)
    end
    return 0
end

function timer_event(ns)
    local told = 0
    for key, session in pairs(sessions) do
        if ns - session.last > idle then
            tell(key, session, "idle")
            told = told + 1
            if told >= max_per_tick then
                return
            end
        end
    end
end
