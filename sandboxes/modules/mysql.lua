-- The slow query logs of MySQL, Percona Server and MariaDB.
--
-- The grammars match one entry, from "# Time" or "# User@Host" to the end of its statement, and capture
-- {Timestamp, Hostname = of the client, Fields, Payload = the statement}. The short ones match entries without "# User@Host".

local l = require "lpeg"
local dt = require "date_time"
local M = {}

local digit = l.R "09"
local space = l.S " \t" ^ 0
local line_end = space * l.P "\r" ^ -1 * "\n"
local to_line_end = (l.P(1) - l.S "\r\n") ^ 0
local number = digit ^ 1 * (l.P "." * digit ^ 1) ^ -1 / tonumber

local short_time = l.Ct(l.Cg(digit * digit / "20%0", "year") * dt.date_month * dt.date_mday * l.S " \t" ^ 1
    * l.Cg(digit * digit ^ -1, "hour") * ":" * dt.time_minute * ":" * dt.time_second)
local time = l.P "# Time: " * space * l.Cg((dt.rfc3339 + short_time) / dt.time_to_ns, "time") * to_line_end * line_end

local name = (l.P(1) - l.S "[]@\n") ^ 0
local user = l.P "# User@Host: " * l.Cg(name, "user") * "[" * name * "]" * space * "@" * space
    * l.Cg((l.P(1) - l.S " [\n") ^ 0, "host") * space * "[" * l.Cg((l.P(1) - "]") ^ 0, "ip") * "]" * to_line_end * line_end

local function yes_no(text)
    return text == "Yes"
end

-- "Query_time: 2.00", "Full_scan: Yes": names and values as they come.
local statistic = l.C(l.R("az", "AZ", "__") * l.R("az", "AZ", "09", "__") ^ 0) * ":" * space
    * ((l.P "Yes" + "No") / yes_no + number * #(l.S " \t\r\n" + -1) + l.C((l.P(1) - l.S " \t\r\n") ^ 1))

local pair = l.Ct(statistic)
local statistics = l.Ct((l.P "#" * space * pair * (space * pair) ^ 0 * line_end) ^ 1)

local function collect(pairs_)
    local found = {}
    for _, p in ipairs(pairs_) do
        found[p[1]] = p[2]
    end
    return found
end

local use = l.P "use " * l.Cg((l.P(1) - ";") ^ 1, "schema") * ";" * line_end
local set = l.P "SET " * (l.P(1) - "timestamp") ^ 0 * "timestamp=" * l.Cg(digit ^ 1 / dt.seconds_to_ns, "set_time") * (l.P(1) - ";") ^ 0 * ";" * line_end
local admin = l.P "# administrator command: " * to_line_end * line_end * #l.P(1)
local statement = l.C(l.P(1) ^ 0)

local SECONDS = { Query_time = true, Lock_time = true, InnoDB_IO_r_wait = true, InnoDB_rec_lock_wait = true, InnoDB_queue_wait = true }
local BYTES = { Bytes_sent = true, Bytes_received = true, Tmp_table_sizes = true, InnoDB_IO_r_bytes = true }

local function finish(t, sql)
    local fields = collect(t.statistics or {})
    for key in pairs(fields) do
        local unit = SECONDS[key] and "s" or BYTES[key] and "B"
        if unit then
            fields[key] = { value = fields[key], representation = unit }
        end
    end
    fields.Schema = t.schema or fields.Schema
    fields.User, fields.Host = t.user, t.host ~= "" and t.host or t.ip
    return { Timestamp = t.set_time or t.time, Hostname = t.ip ~= "" and t.ip or t.host, Fields = fields, Payload = (string.gsub(sql, "%s+$", "")) }
end

local entry = l.Cg(statistics, "statistics") * (use + set) ^ 0

--- One entry of a slow query log, of any of the three servers.
---@type lpeg.pattern
M.slow_query_grammar = l.Ct(time ^ -1 * user * entry) * admin ^ -1 * statement / finish
M.mariadb_slow_query_grammar = M.slow_query_grammar
M.short_slow_query_grammar = l.Ct(entry) * admin ^ -1 * statement / finish
M.mariadb_short_slow_query_grammar = M.short_slow_query_grammar

--- A decoder of entries, by the script's options `type`, `truncate_sql` and `payload_keep`: it injects the message
--- of an entry, and returns what process_message does.
---@return fun(entry: string): integer, string?
function M.slow_query_decoder()
    local message_type = read_config("type")
    local truncate = read_config("truncate_sql")
    local payload_keep = read_config("payload_keep")
    return function(text)
        local message = M.slow_query_grammar:match(text)
        if not message then
            return -1, "the record is no entry of a slow query log"
        end
        message.Type = message_type
        message.Hostname = nil -- the client's, which Fields[Host] has
        if not payload_keep then
            message.Payload = nil
        elseif truncate > 0 and #message.Payload > truncate then
            message.Payload = string.sub(message.Payload, 1, truncate) .. "..."
        end
        inject_message(message)
        return 0
    end
end

return M
