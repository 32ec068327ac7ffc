-- Grammars for the access and error logs of web servers, built from the server's own format string.
--
-- A grammar's `match(line)` captures a table that can become a message's Fields: texts, numbers, and
-- {value = …, representation = …} where there is a unit or a kind of address. The time is captured as `time`, in
-- nanoseconds since 1970.

local l = require "lpeg"
local dt = require "date_time"
local ip = require "ip_address"
local agent = require "user_agent"
local M = {}

local digit = l.R "09"
local integer = digit ^ 1 / tonumber
local double = digit ^ 1 * (l.P "." * digit ^ 1) ^ -1 / tonumber

local function with_unit(pattern, unit)
    return l.Ct(l.Cg(pattern, "value") * l.Cg(l.Cc(unit), "representation"))
end

-- A number, or "-" for none: then the field is missing.
local function or_dash(name, pattern)
    return l.P "-" + l.Cg(pattern, name)
end

-- nginx lists the times of several upstreams: "0.1, 0.2 : 0.3".
local separator = (l.S " ,:") ^ 1
local upstream_times = with_unit(l.Ct((l.P "-" + double) * (separator * (l.P "-" + double)) ^ 0)
    / function(times) return #times <= 1 and times[1] or times end, "s")

local NGINX = {
    time_local = l.Cg(dt.clf_timestamp / dt.time_to_ns, "time"),
    time_iso8601 = l.Cg(dt.rfc3339 / dt.time_to_ns, "time"),
    msec = l.Cg(digit ^ 1 * (l.P "." * digit ^ 1) ^ -1 / dt.seconds_to_ns, "time"),
    remote_addr = l.Cg(ip.host_field, "remote_addr"),
    server_addr = l.Cg(ip.host_field, "server_addr"),
    status = l.Cg(integer, "status"),
    body_bytes_sent = or_dash("body_bytes_sent", with_unit(integer, "B")),
    bytes_sent = or_dash("bytes_sent", with_unit(integer, "B")),
    request_length = or_dash("request_length", with_unit(integer, "B")),
    content_length = or_dash("content_length", with_unit(integer, "B")),
    request_time = or_dash("request_time", with_unit(double, "s")),
    upstream_response_time = l.P "-" * -digit + l.Cg(upstream_times, "upstream_response_time"),
    upstream_connect_time = l.P "-" * -digit + l.Cg(upstream_times, "upstream_connect_time"),
    upstream_header_time = l.P "-" * -digit + l.Cg(upstream_times, "upstream_header_time"),
    upstream_status = l.P "-" + l.Cg(integer * -(separator * digit), "upstream_status"),
    connection = l.Cg(integer, "connection"),
    connection_requests = l.Cg(integer, "connection_requests"),
    remote_port = l.Cg(integer, "remote_port"),
    server_port = l.Cg(integer, "server_port"),
    pid = l.Cg(integer, "pid"),
    gzip_ratio = or_dash("gzip_ratio", double),
}

-- What nginx escapes in a quoted value is read back: \x22 is ".
local function unescape(text)
    if not string.find(text, "\\", 1, true) then
        return text
    end
    return (string.gsub(text, "\\x(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

-- A text up to where the next literal begins; "-" for none is kept, as servers write it.
local function text_until(name, literal)
    if literal == "" then
        return l.Cg(l.C(l.P(1) ^ 0) / unescape, name)
    end
    local escaped = l.P "\\" * 1
    return l.Cg(l.C((escaped + (l.P(1) - literal)) ^ 0) / unescape, name)
end

-- Joins literals and variables: parts are {literal} and {name = …, pattern = …}.
local function assemble(parts)
    local grammar = l.P(true)
    for i, part in ipairs(parts) do
        if part.literal then
            grammar = grammar * l.P(part.literal)
        else
            local following = parts[i + 1] and parts[i + 1].literal or ""
            local text = text_until(part.name, following)
            if part.pattern then
                -- What a server writes against its habit is kept as text.
                local stop = following == "" and -l.P(1) or #l.P(following)
                grammar = grammar * (part.pattern * stop + text)
            else
                grammar = grammar * text
            end
        end
    end
    return l.Ct(grammar)
end

--- A grammar for nginx's `log_format`.
---@param format string
---@return lpeg.pattern
function M.build_nginx_grammar(format)
    local parts, at = {}, 1
    while at <= #format do
        local from, to, name = string.find(format, "%$([%a_][%w_]*)", at)
        local from2, to2, name2 = string.find(format, "%${([%w_]+)}", at)
        if from2 and (not from or from2 < from) then
            from, to, name = from2, to2, name2
        end
        if not from then
            parts[#parts + 1] = { literal = string.sub(format, at) }
            break
        end
        if from > at then
            parts[#parts + 1] = { literal = string.sub(format, at, from - 1) }
        end
        parts[#parts + 1] = { name = name, pattern = NGINX[name] }
        at = to + 1
    end
    return assemble(parts)
end

local APACHE = {
    a = { "remote_addr", l.Cg(ip.host_field, "remote_addr") },
    A = { "server_addr", l.Cg(ip.host_field, "server_addr") },
    b = { "body_bytes_sent", or_dash("body_bytes_sent", with_unit(integer, "B")) },
    B = { "body_bytes_sent", l.Cg(with_unit(integer, "B"), "body_bytes_sent") },
    D = { "request_time", l.Cg(with_unit(integer, "us"), "request_time") },
    f = { "request_filename" },
    h = { "remote_addr", l.Cg(ip.host_field, "remote_addr") },
    H = { "server_protocol" },
    I = { "request_length", or_dash("request_length", with_unit(integer, "B")) },
    k = { "connection_requests", l.Cg(integer, "connection_requests") },
    l = { "remote_ident" },
    L = { "log_id" },
    m = { "request_method" },
    O = { "bytes_sent", or_dash("bytes_sent", with_unit(integer, "B")) },
    p = { "server_port", l.Cg(integer, "server_port") },
    P = { "pid", l.Cg(integer, "pid") },
    q = { "query_string" },
    r = { "request" },
    R = { "handler" },
    s = { "status", l.Cg(integer, "status") },
    S = { "bytes_transferred", or_dash("bytes_transferred", with_unit(integer, "B")) },
    T = { "request_time", l.Cg(with_unit(double, "s"), "request_time") },
    u = { "remote_user" },
    U = { "uri" },
    v = { "server_name" },
    V = { "server_name" },
    X = { "connection_status" },
}

local APACHE_TIMES = {
    sec = l.Cg(digit ^ 1 / dt.seconds_to_ns, "time"),
    msec = l.Cg(digit ^ 1 / function(ms) return math.tointeger(tonumber(ms)) * 1000000 end, "time"),
    usec = l.Cg(digit ^ 1 / function(us) return math.tointeger(tonumber(us)) * 1000 end, "time"),
    msec_frac = l.Cg(digit ^ 1 / "0.%0", "time_frac"),
    usec_frac = l.Cg(digit ^ 1 / "0.%0", "time_frac"),
}

-- Directives of something that braces name: what their fields begin with.
local NAMED = { i = "http_", o = "sent_http_", e = "env_", n = "note_", C = "cookie_", ["^ti"] = "trailer_", ["^to"] = "sent_trailer_" }

-- The part of a directive: its letter, and what stood in braces before it.
local function apache_part(letter, braces, format)
    if letter == "t" then
        if braces == "" then
            return { name = "time", pattern = l.P "[" * l.Cg(dt.clf_timestamp / dt.time_to_ns, "time") * "]" }
        end
        local known = APACHE_TIMES[(string.gsub(braces, "^%a+:", ""))]
        return { name = "time", pattern = known or l.Cg(dt.build_strftime_grammar(braces) / dt.time_to_ns, "time") }
    elseif NAMED[letter] then
        return { name = NAMED[letter] .. string.lower((string.gsub(braces, "%-", "_"))) }
    elseif letter == "T" and braces ~= "" then
        return { name = "request_time", pattern = l.Cg(with_unit(integer, braces), "request_time") }
    end
    local known = APACHE[letter]
    if not known then
        error("build_apache_grammar: %" .. letter .. " is not known in '" .. format .. "'", 3)
    end
    return { name = known[1], pattern = known[2] }
end

--- A grammar for Apache's `LogFormat`, with or without its backslashes before quotes.
---@param format string
---@return lpeg.pattern
function M.build_apache_grammar(format)
    format = string.gsub(format, '\\"', '"')
    local parts, at = {}, 1
    local function literal(text)
        if text ~= "" then
            local last = parts[#parts]
            if last and last.literal then
                last.literal = last.literal .. text
            else
                parts[#parts + 1] = { literal = text }
            end
        end
    end
    while true do
        local from = string.find(format, "%", at, true)
        if not from then
            break
        end
        literal(string.sub(format, at, from - 1))
        -- %400,501{User-agent}i, %{c}a, %>s, %{X}^ti, %%
        local rest, braces = string.match(format, "^[%d,!<>]*()", from + 1), ""
        if string.sub(format, rest, rest) == "{" then
            local stop = string.find(format, "}", rest, true)
            if not stop then
                error("build_apache_grammar: a { that begins at " .. rest .. " does not end in '" .. format .. "'", 2)
            end
            braces, rest = string.sub(format, rest + 1, stop - 1), stop + 1
        end
        local letter, next_at = string.match(format, "^(%^t[io])()", rest)
        if not letter then
            letter, next_at = string.match(format, "^([%a%%])()", rest)
        end
        if not letter then
            error("build_apache_grammar: the % at " .. from .. " begins no directive in '" .. format .. "'", 2)
        end
        at = next_at
        if letter == "%" then
            literal("%")
        else
            parts[#parts + 1] = apache_part(letter, braces, format)
        end
    end
    literal(string.sub(format, at))
    return assemble(parts)
end

local level = l.P(false)
for number, name in ipairs{ "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug" } do
    level = level + l.P(name) * l.Cc(number - 1)
end

local function with_timestamp(message)
    message.Timestamp = message.time
    return message
end

--- nginx's error log, as a message: Timestamp (also as time), Severity, Pid, Payload, Fields = {tid, connection}
---@type lpeg.pattern
M.nginx_error_grammar = l.Ct(
    l.Cg(l.Ct(dt.date_fullyear * "/" * dt.date_month * "/" * dt.date_mday * " " * dt.time_hour * ":" * dt.time_minute * ":" * dt.time_second) / dt.time_to_ns, "time")
    * " [" * l.Cg(level, "Severity") * "] "
    * l.Cg(integer, "Pid") * "#" * l.Cg(l.Ct(l.Cg(integer, "tid") * ": " * (l.P "*" * l.Cg(integer, "connection") * " ") ^ -1), "Fields")
    * l.Cg(l.P(1) ^ 0, "Payload")) / with_timestamp

--- Browser, version and operating system: see the module user_agent.
M.normalize_user_agent = agent.normalize

--- A decoder of lines that fit the grammar, by the script's options `type`, `payload_keep` and `user_agent_…`: it
--- injects the message of a line, and returns what process_message does.
---@param grammar lpeg.pattern
---@return fun(line: string): integer, string?
function M.access_log_decoder(grammar)
    local message_type = read_config("type")
    local payload_keep = read_config("payload_keep")
    local agent_transform = read_config("user_agent_transform")
    local agent_keep = read_config("user_agent_keep")
    local agent_conditional = read_config("user_agent_conditional")
    return function(line)
        local fields = grammar:match(line)
        if not fields then
            return -1, "the line does not fit log_format"
        end
        local time = fields.time
        fields.time = nil
        if agent_transform then
            agent.replace(fields, agent_keep, agent_conditional)
        end
        inject_message{ Type = message_type, Timestamp = time, Payload = payload_keep and line or nil, Fields = fields }
        return 0
    end
end

return M
