-- Grammars for IP addresses and host names. Those that end in `_field` capture a table that can stand
-- in a message's Fields: {value = "127.0.0.1", representation = "ipv4"}.

local l = require "lpeg"
local M = {}

local digit = l.R "09"
local hex = l.R("09", "af", "AF")
local octet = l.P "25" * l.R "05" + l.P "2" * l.R "04" * digit + l.P "1" * digit * digit + l.R "19" * digit + digit

M.v4 = octet * "." * octet * "." * octet * "." * octet

local group = hex * hex ^ -3
local pair = group * ":" * group

-- n groups, each with its colon, and no address of version 4 begun by mistake.
local function groups(n)
    local found = l.P(true)
    for _ = 1, n do
        found = found * group * ":"
    end
    return found
end

local function up_to(n)
    return (group * (l.P ":" * group) ^ -(n - 1)) ^ -1
end

-- What ends an address behind "::".
local low = M.v4 + pair + group

M.v6 = groups(6) * (M.v4 + pair)
    + up_to(7) * "::" * (groups(4) * low + groups(3) * low + groups(2) * low + groups(1) * low + low + group) ^ -1
    + "::" * (groups(5) * low)

local label = l.R("09", "az", "AZ") * (l.P "-" ^ 0 * l.R("09", "az", "AZ", "__")) ^ 0
M.hostname = label * (l.P "." * label) ^ 0 * l.P "." ^ -1

local function field(pattern, representation)
    return l.Ct(l.Cg(pattern, "value") * l.Cg(l.Cc(representation), "representation"))
end

M.v4_field = field(M.v4, "ipv4")
M.v6_field = field(M.v6, "ipv6")
M.hostname_field = field(M.hostname, "hostname")

local ends = -l.R("09", "az", "AZ", "..", "--")
M.host = M.v6 + M.v4 * ends + M.hostname
M.host_field = M.v6_field + M.v4_field * ends + M.hostname_field

return M
