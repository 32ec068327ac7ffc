-- Grammars for what syslog daemons write, built from rsyslog's templates.
--
-- A grammar captures a table with what the template names, in lower case: timestamp (nanoseconds; also of timereported),
-- hostname, msg, syslogtag = {programname, pid}, pri = {facility, severity}, syslogfacility and so on.

local l = require "lpeg"
local dt = require "date_time"
local ip = require "ip_address"
local M = {}

local digit = l.R "09"
local integer = digit ^ 1 / tonumber

local FACILITIES = {
    [0] = "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}
local SEVERITIES = { [0] = "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" }

-- A word of a list captures its number; longer words come first, so that "error" is not "err".
local function words(list, more)
    local numbers, sorted = {}, {}
    for number, word in pairs(list) do
        numbers[word] = number
    end
    for word, number in pairs(more) do
        numbers[word] = number
    end
    for word in pairs(numbers) do
        sorted[#sorted + 1] = word
    end
    table.sort(sorted, function(a, b) return #a > #b or (#a == #b and a < b) end)
    local found = l.P(false)
    for _, word in ipairs(sorted) do
        found = found + l.P(word) * l.Cc(numbers[word])
    end
    return found
end

--- Captures 0 to 7 of a severity's name.
---@type lpeg.pattern
M.severity = words(SEVERITIES, { emergency = 0, panic = 0, critical = 2, error = 3, warn = 4, informational = 6 })
--- Captures 0 to 23 of a facility's name.
---@type lpeg.pattern
M.facility = words(FACILITIES, { security = 4 })

local function split_pri(pri)
    pri = math.tointeger(tonumber(pri))
    return { facility = pri // 8, severity = pri % 8 }
end

local pri = digit * digit ^ -2 / split_pri
local pri_text = l.Ct(l.Cg(M.facility, "facility") * "." * l.Cg(M.severity, "severity")) * (l.P "<" * digit ^ 1 * ">") ^ -1
local tag = l.Ct(l.Cg((l.P(1) - l.S " :[") ^ 1, "programname") * (l.P "[" * l.Cg(integer, "pid") * "]") ^ -1 * l.P ":" ^ -1)

local rfc3339 = dt.rfc3339 / dt.time_to_ns
local rfc3164 = dt.rfc3164_timestamp / dt.time_to_ns
local TIMES = {
    ["date-rfc3339"] = rfc3339,
    ["date-rfc3164"] = rfc3164,
    ["date-rfc3164-buggyday"] = rfc3164,
    ["date-mysql"] = dt.mysql_timestamp / dt.time_to_ns,
    ["date-pgsql"] = dt.pgsql_timestamp / dt.time_to_ns,
    ["date-unixtimestamp"] = digit ^ 1 / dt.seconds_to_ns,
}

local function time(options)
    for option in string.gmatch(options, "[%w%-]+") do
        if TIMES[option] then
            return TIMES[option]
        end
    end
    return rfc3164
end

local word = (l.P(1) - l.S " \n") ^ 1
local structured_data = l.P "-" + (l.P "[" * (l.P '"' * (l.P "\\" * 1 + (l.P(1) - '"')) ^ 0 * '"' + (l.P(1) - "]")) ^ 0 * "]") ^ 1

-- By lower-case name: what it captures under its name, or a function of the property's options.
local PROPERTIES = {
    timestamp = time, timereported = time, timegenerated = time,
    hostname = function() return ip.host end, source = function() return ip.host end, fromhost = function() return ip.host end,
    ["fromhost-ip"] = function() return ip.host end,
    syslogtag = function() return tag end,
    programname = function() return (l.P(1) - l.S " :[\n") ^ 1 end, ["app-name"] = function() return word end,
    procid = function() return word end, msgid = function() return word end,
    pri = function() return pri end, ["pri-text"] = function() return pri_text end,
    syslogfacility = function() return integer end, ["syslogfacility-text"] = function() return M.facility end,
    syslogseverity = function() return integer end, ["syslogseverity-text"] = function() return M.severity end,
    syslogpriority = function() return integer end, ["syslogpriority-text"] = function() return M.severity end,
    ["protocol-version"] = function() return integer end, ["structured-data"] = function() return structured_data end,
}

local ESCAPES = { n = "\n", t = "\t", r = "\r", ["\\"] = "\\", ['"'] = '"', ["%"] = "%" }

-- Splits a template into literals and {name, options}.
local function split(template)
    local parts, literal, at = {}, "", 1
    while at <= #template do
        local char = string.sub(template, at, at)
        if char == "\\" then
            local next_char = string.sub(template, at + 1, at + 1)
            literal = literal .. (ESCAPES[next_char] or "\\" .. next_char)
            at = at + 2
        elseif char == "%" then
            local stop = string.find(template, "%", at + 1, true)
            if not stop then
                error("build_rsyslog_grammar: a property that begins at " .. at .. " does not end with %: '" .. template .. "'", 3)
            end
            if literal ~= "" then
                parts[#parts + 1] = { literal = literal }
                literal = ""
            end
            local inner = string.sub(template, at + 1, stop - 1)
            parts[#parts + 1] = { name = string.match(inner, "^[^:]*"), options = string.match(inner, ":[^:]*:[^:]*:(.*)$") or "" }
            at = stop + 1
        else
            literal = literal .. char
            at = at + 1
        end
    end
    if literal ~= "" then
        parts[#parts + 1] = { literal = literal }
    end
    return parts
end

--- A grammar for a template of rsyslog, such as
--- `%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n`.
---@param template string
---@return lpeg.pattern
function M.build_rsyslog_grammar(template)
    local parts = split(template)
    local grammar = l.P(true)
    for i, part in ipairs(parts) do
        if part.literal then
            local at_end = i == #parts
            local text = string.gsub(part.literal, "\n$", "")
            -- A splitter may have taken the last line feed.
            grammar = grammar * (at_end and l.P(text) * l.P "\n" ^ -1 or l.P(part.literal))
        else
            local name = string.lower(part.name)
            local property = PROPERTIES[name]
            if string.find(part.options, "sp-if-no-1st-sp", 1, true) then
                grammar = grammar * l.P " " ^ -1
            elseif property then
                grammar = grammar * l.Cg(property(part.options), name == "timereported" and "timestamp" or name)
            else
                local following = parts[i + 1] and parts[i + 1].literal
                local stop = following and following ~= "\n" and l.P(following) or l.P "\n" ^ -1 * -1
                grammar = grammar * l.Cg((l.P(1) - stop) ^ 0, name)
            end
        end
    end
    return l.Ct(grammar)
end

--- A severity's or facility's name by number.
M.severity_names = SEVERITIES
M.facility_names = FACILITIES

return M
