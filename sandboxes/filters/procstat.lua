--- Sends how busy the processors were since the last reading of /proc/stat.
---
--- For each reading but a host's first one goes a message of Type `heka.sandbox.procstat` with
--- `cpu_percent`, `cpu0_percent` and so on: the share of time that was not idle. With `extras` also the
--- shares of user, nice, system and idle time, the ticks of each state (`cpu_delta_user`), and by how much
--- other counters grew (`ctxt_delta`, `softirq_delta_1`). Time of guests is part of user time and counts once.
--@family filter
--@match Type == "stats.procstat"
--@option whitelist string Lua pattern of the fields to process, such as "cpu$"; by default all.
--@option extras boolean false Send everything, not only how busy processors were.
--@option percent_integer boolean true Shares as whole numbers from 0 to 100, else from 0 to 1.
--@option preservation_version integer 0 Raise it to forget the last reading.
--@sample
--  [filter.procstat]
--  type = "procstat"
--  match = 'Type == "stats.procstat"'
--  whitelist = "cpu$"

_PRESERVATION_VERSION = read_config("preservation_version")

local whitelist = read_config("whitelist")
local extras = read_config("extras")
local percent_integer = read_config("percent_integer")
-- Guests' time is in user and nice, too.
local STATES = { "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestnice" }
local COUNTED = 8
local IDLE = 4

last = {} -- by host: the fields of its last reading

-- The numbers of the message's fields by name, as lists.
local function reading()
    local found = {}
    while true do
        local _, name, value, _, count = read_next_field()
        if not name then
            return found
        end
        if type(value) == "number" and (not whitelist or name:match(whitelist)) then
            local list = { value }
            for n = 1, count - 1 do
                list[n + 1] = read_message("Fields[" .. name .. "]", 0, n)
            end
            found[name] = list
        end
    end
end

local function growth(new, old)
    if not old or #new ~= #old then
        return nil
    end
    local grown = {}
    for n, value in ipairs(new) do
        grown[n] = value - old[n]
    end
    return grown
end

local function share(part, whole)
    if percent_integer then
        return math.floor(part / whole * 100 + 0.5)
    end
    return part / whole
end

local function processor(name, delta, fields)
    local ticks = 0
    for n = 1, math.min(#delta, COUNTED) do
        ticks = ticks + delta[n]
    end
    if extras then
        for n, value in ipairs(delta) do
            fields[name .. "_delta_" .. (STATES[n] or n)] = value
        end
        fields[name .. "_delta_ticks"] = ticks
    end
    if ticks <= 0 or #delta < IDLE then
        return
    end
    if extras then
        for n = 1, IDLE do
            fields[name .. "_percent_" .. STATES[n]] = share(delta[n], ticks)
        end
    end
    fields[name .. "_percent"] = share(ticks - delta[IDLE], ticks)
end

local function describe(name, delta, fields)
    if name:match("^cpu%d*$") then
        processor(name, delta, fields)
    elseif not extras or name == "intr" then -- a number for each of hundreds of interrupts
    elseif #delta > 1 then
        for n, value in ipairs(delta) do
            fields[name .. "_delta_" .. n] = value
        end
    else
        fields[name .. "_delta"] = delta[1]
    end
end

function process_message()
    local host = read_message("Hostname")
    local new, old = reading(), last[host]
    last[host] = new
    if not old then
        return 0
    end
    local fields = {}
    for name, values in pairs(new) do
        local delta = growth(values, old[name])
        if delta then
            describe(name, delta, fields)
        end
    end
    if next(fields) then
        inject_message{ Type = "procstat", Payload = read_message("Payload"), Fields = fields }
    end
    return 0
end
