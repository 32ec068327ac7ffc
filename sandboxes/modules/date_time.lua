-- Grammars for the ways logs write the time, and what turns their captures into nanoseconds.
--
-- Each `*_timestamp` grammar, and `rfc3339`, captures one table: year, month, day, hour, min, sec (text of
-- digits; a month's name becomes its number), and where the format has them sec_frac (a fraction of a
-- second), offset_sign, offset_hour, offset_min. `time_to_ns` makes nanoseconds since 1970 of such a
-- table: `date_time.rfc3339 / date_time.time_to_ns`.

local l = require "lpeg"
local M = {}

local digit = l.R "09"
local digit2 = digit * digit
local digit4 = digit2 * digit2

local function named(name, pattern)
    return l.Cg(pattern, name)
end

local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local FULL_MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" }

-- One of several words; each captures its number.
local function one_of(words)
    local found = l.P(false)
    for number, word in ipairs(words) do
        found = found + l.P(word) * l.Cc(string.format("%02d", number))
    end
    return found
end

M.month_abbr = one_of(MONTHS)
M.month_full = one_of(FULL_MONTHS)
M.weekday_abbr = l.P "Mon" + "Tue" + "Wed" + "Thu" + "Fri" + "Sat" + "Sun"
M.weekday_full = l.P "Monday" + "Tuesday" + "Wednesday" + "Thursday" + "Friday" + "Saturday" + "Sunday"

M.year = named("year", digit4)
M.month = named("month", l.P "0" * l.R "19" + l.P "1" * l.R "02")
M.day = named("day", l.P "0" * l.R "19" + l.R "12" * digit + l.P "3" * l.R "01")
M.hour = named("hour", l.R "01" * digit + l.P "2" * l.R "03")
M.min = named("min", l.R "05" * digit)
M.sec = named("sec", l.R "05" * digit + l.P "60")
M.sec_frac = named("sec_frac", l.P "." * digit ^ 1)

local day_padded = named("day", l.P " " * (digit / "0%0") + digit2)
local offset_digits = named("offset_sign", l.S "+-") * named("offset_hour", digit2) * l.P ":" ^ -1 * named("offset_min", digit2)
local zulu = (l.P "Z" + "z") * l.Cg(l.Cc "+", "offset_sign") * l.Cg(l.Cc "00", "offset_hour") * l.Cg(l.Cc "00", "offset_min")

-- The names that other grammars of times use for the parts.
M.date_fullyear, M.date_month, M.date_mday, M.date_mday_sp = M.year, M.month, M.day, day_padded
M.date_mabbr, M.date_mfull = named("month", M.month_abbr), named("month", M.month_full)
M.time_hour, M.time_minute, M.time_second, M.time_secfrac = M.hour, M.min, M.sec, M.sec_frac

M.timezone_offset = zulu + offset_digits
M.rfc3339_full_date = M.year * "-" * M.month * "-" * M.day
M.rfc3339_partial_time = M.hour * ":" * M.min * ":" * M.sec * M.sec_frac ^ -1
M.rfc3339_full_time = M.rfc3339_partial_time * M.timezone_offset
--- 2006-01-02T15:04:05.999Z
---@type lpeg.pattern
M.rfc3339 = l.Ct(M.rfc3339_full_date * l.S "Tt " * M.rfc3339_full_time)
--- Jan  2 15:04:05, of the current year
---@type lpeg.pattern
M.rfc3164_timestamp = l.Ct(named("month", M.month_abbr) * " " * day_padded * " " * M.rfc3339_partial_time)
--- 02/Jan/2006:15:04:05 -0700
---@type lpeg.pattern
M.clf_timestamp = l.Ct(M.day * "/" * named("month", M.month_abbr) * "/" * M.year * ":" * M.hour * ":" * M.min * ":" * M.sec * " " * offset_digits)
--- 20060102150405, or 060102 15:04:05
---@type lpeg.pattern
M.mysql_timestamp = l.Ct(M.year * M.month * M.day * M.hour * M.min * M.sec)
    + l.Ct(named("year", l.Cc "20" * l.C(digit2) / function(century, year) return century .. year end) * M.month * M.day * l.P " " ^ 1
        * named("hour", l.P " " ^ -1 * (digit2 + digit)) * ":" * M.min * ":" * M.sec)
--- 2006-01-02 15:04:05.999 UTC
---@type lpeg.pattern
M.pgsql_timestamp = l.Ct(M.rfc3339_full_date * " " * M.rfc3339_partial_time * (l.P " " * (l.P "UTC" + "GMT") + offset_digits) ^ -1)

-- Days from 1970-01-01 to a day of the Gregorian calendar.
local function days(year, month, day)
    if month <= 2 then
        year = year - 1
        month = month + 12
    end
    local era = year // 400
    local of_era = year - era * 400
    local of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

-- The fraction ".25" as nanoseconds, exactly.
local function fraction(text)
    if type(text) == "number" then
        return math.floor(text * 1e9 + 0.5)
    end
    local digits = string.sub(text, 2, 10)
    return math.tointeger(tonumber(digits .. string.rep("0", 9 - #digits)))
end

local function whole(text, default)
    return math.tointeger(tonumber(text)) or default
end

--- Nanoseconds since 1970 of a captured time; without an offset it is UTC, without a year the year of now.
---@param t table
---@return integer?
function M.time_to_ns(t)
    if not t then
        return nil
    end
    local year = whole(t.year) or whole(os.date("!%Y"))
    local seconds = days(year, whole(t.month, 1), whole(t.day, 1)) * 86400
        + whole(t.hour, 0) * 3600 + whole(t.min, 0) * 60 + whole(t.sec, 0)
    if t.offset_hour then
        local offset = whole(t.offset_hour, 0) * 3600 + whole(t.offset_min, 0) * 60
        seconds = t.offset_sign == "-" and seconds + offset or seconds - offset
    end
    -- A month without a year that lies ahead is of last year: a log has no future.
    if not t.year and seconds > os.time() + 86400 then
        return M.time_to_ns{ year = year - 1, month = t.month, day = t.day, hour = t.hour, min = t.min, sec = t.sec, sec_frac = t.sec_frac }
    end
    return seconds * 1000000000 + (t.sec_frac and fraction(t.sec_frac) or 0)
end

--- Nanoseconds of seconds, which may have a fraction.
---@param seconds number|string
---@return integer
function M.seconds_to_ns(seconds)
    local text = tostring(seconds)
    local int, frac = string.match(text, "^(%-?%d+)(%.%d+)$")
    if int then
        local ns = fraction(frac)
        return whole(int) * 1000000000 + (string.sub(int, 1, 1) == "-" and -ns or ns)
    end
    return math.floor((tonumber(seconds) or 0) * 1000000000)
end

--- Nanoseconds of milliseconds.
---@param ms number|string
---@return integer
function M.milliseconds_to_ns(ms)
    return math.floor((tonumber(ms) or 0) * 1000000)
end

local am_pm = named("am_pm", l.P "AM" + "PM" + "am" + "pm")

local STRFTIME = {
    a = M.weekday_abbr, A = M.weekday_full, b = named("month", M.month_abbr), h = named("month", M.month_abbr), B = named("month", M.month_full),
    d = M.day, e = day_padded, H = M.hour, I = named("hour", digit2), j = digit * digit2, m = M.month, M = M.min, p = am_pm, S = M.sec,
    y = named("year", digit2 / "20%0"), Y = M.year, z = offset_digits, Z = l.R("AZ", "az") ^ 1, n = l.P "\n", t = l.P "\t", s = named("epoch", digit ^ 1),
    f = named("sec_frac", digit ^ 1 / ".%0"), ["%"] = l.P "%",
}
local ALIASES = { D = "%m/%d/%y", F = "%Y-%m-%d", R = "%H:%M", T = "%H:%M:%S", r = "%I:%M:%S %p", c = "%a %b %e %H:%M:%S %Y", x = "%m/%d/%y", X = "%H:%M:%S" }

local function afternoon(t)
    if t.am_pm and t.hour then
        local hour = whole(t.hour, 0) % 12
        t.hour = string.upper(t.am_pm) == "PM" and hour + 12 or hour
        t.am_pm = nil
    end
    return t
end

--- A grammar for a format of strftime; it captures a table for `time_to_ns`. `%f` is a fraction without its point.
---@param format string
---@return lpeg.pattern
function M.build_strftime_grammar(format)
    for _ = 1, 2 do
        format = string.gsub(format, "%%(%a)", function(letter) return ALIASES[letter] end)
    end
    local grammar, at = l.P(true), 1
    while at <= #format do
        local char = string.sub(format, at, at)
        if char == "%" then
            local letter = string.sub(format, at + 1, at + 1)
            local part = STRFTIME[letter]
            if not part then
                error("build_strftime_grammar: %" .. letter .. " is not supported in '" .. format .. "'", 2)
            end
            grammar = grammar * part
            at = at + 2
        else
            grammar = grammar * char
            at = at + 1
        end
    end
    return l.Ct(grammar) / afternoon
end

return M
