-- The query log of BIND 9, from `category queries`:
--
--   24-May-2016 10:14:06.513 client 10.0.0.9#50941 (www.example.com): query: www.example.com IN A + (10.0.0.2)
--
-- The time, the category and the severity are there when BIND is told to print them; newer versions name
-- the client object ("client @0x7f…") and a view.

local l = require "lpeg"
local dt = require "date_time"
local ip = require "ip_address"
local M = {}

local digit = l.R "09"
local word = (l.P(1) - " ") ^ 1

M.timestamp = l.Ct(dt.date_mday * "-" * dt.date_mabbr * "-" * dt.date_fullyear * " " * dt.rfc3339_partial_time) / dt.time_to_ns
M.client_address = ip.v4_field + ip.v6_field
M.dns_class = l.P "IN" + "CH" + "HS" + "NONE" + "ANY" + (l.P "CLASS" * digit ^ 1)
M.dns_record_type = (l.R("AZ", "09") + "-") ^ 1
-- + recursion desired, S signed, E(n) EDNS, T TCP, D DNSSEC wanted, C checking disabled, V valid cookie, K cookie
M.query_flags = (l.S "+-STDCVK" + l.P "E" * (l.P "(" * digit ^ 1 * ")") ^ -1) ^ 1

local prefix = (l.Cg(M.timestamp, "Timestamp") * " ") ^ -1
    * (l.P "queries: ") ^ -1 * (l.R "az" ^ 1 * ": ") ^ -1
local client = l.P "client " * (l.P "@0x" * l.R("09", "af") ^ 1 * " ") ^ -1
    * l.Cg(M.client_address, "ClientIP") * "#" * l.Cg(digit ^ 1 / tonumber, "ClientPort")
local query = l.Cg(word, "Query") * " " * l.Cg(M.dns_class, "RecordClass") * " " * l.Cg(M.dns_record_type, "RecordType") * " " * l.Cg(M.query_flags, "QueryFlags")

M.query_log = l.Ct(prefix * client
    * (l.P " (" * l.Cg((l.P(1) - ")") ^ 1, "QueryName") * ")") ^ -1 * ":"
    * (l.P " view " * l.Cg((l.P(1) - ":") ^ 1, "View") * ":") ^ -1
    * " query: " * query
    * (l.P " (" * l.Cg(M.client_address, "ServerIP") * ")") ^ -1
    * (l.P " [" * (l.P(1) - "]") ^ 0 * "]") ^ -1)

local MEANINGS = {
    ["+"] = "recursion requested", ["-"] = "recursion not requested", E = "EDNS used", S = "query signed", D = "DNSSEC data wanted",
    C = "no DNSSEC validation check", T = "TCP used", V = "valid cookie", K = "cookie",
}
local flag = l.C(1) * (l.P "(" * digit ^ 1 * ")") ^ -1 / MEANINGS
local label = (l.P(1) - l.S ". ") ^ 1

--- For scripts that name the parts of an entry in Heka's way, and make the table themselves: the name is taken apart
--- into QueryName, its first label, and QueryDomain, the rest; QueryFlags is a list of texts; there are no views.
---@type lpeg.pattern
M.query_log_grammar = prefix * (l.P "client " * (l.P "@0x" * l.R("09", "af") ^ 1 * " ") ^ -1 * l.Cg(M.client_address, "ClientIP") * "#" * digit ^ 1)
    * " (" * l.Cg((l.P(1) - ")") ^ 1, "FullQuery") * "): query: "
    * l.Cg(label, "QueryName") * (l.P "." * l.Cg(word, "QueryDomain")) ^ -1
    * " " * l.Cg(M.dns_class, "RecordClass") * " " * l.Cg(M.dns_record_type, "RecordType")
    * " " * l.Cg(l.Ct((#l.S "+-STDCVKE" * flag) ^ 1), "QueryFlags")
    * (l.P " (" * l.Cg(M.client_address, "ServerRespondingIP") * ")") ^ -1

--- "www.example.com" in its parts: {"www", "example", "com"}.
---@param name string
---@return string[]
function M.labels(name)
    local parts = {}
    for part in string.gmatch(name, "[^.]+") do
        parts[#parts + 1] = part
    end
    return parts
end

return M
