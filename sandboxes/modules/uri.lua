-- Uniform resource identifiers (RFC 3986): a grammar of the parts, and what one usually wants of them.

local l = require "lpeg"
local ip = require "ip_address"
local M = {}

local digit, alpha, hex = l.R "09", l.R("az", "AZ"), l.R("09", "af", "AF")
local escaped = l.P "%" * hex * hex
local unreserved = alpha + digit + l.S "-._~"
local sub_delims = l.S "!$&'()*+,;="
local pchar = unreserved + escaped + sub_delims + l.S ":@"

local scheme = alpha * (alpha + digit + l.S "+-.") ^ 0
local userinfo = (unreserved + escaped + sub_delims + ":") ^ 0
local reg_name = (unreserved + escaped + sub_delims) ^ 0
local host = l.P "[" * l.Cg(ip.v6, "host") * "]" + l.Cg(reg_name, "host")
local authority = (l.Cg(userinfo, "userinfo") * "@") ^ -1 * host * (l.P ":" * l.Cg(digit ^ 0, "port")) ^ -1
local path = (l.P "/" + pchar) ^ 0
local rest = (l.P "?" * l.Cg((pchar + l.S "/?") ^ 0, "query")) ^ -1 * (l.P "#" * l.Cg((pchar + l.S "/?") ^ 0, "fragment")) ^ -1

--- scheme:… ; captures {scheme, userinfo, host, port, path, query, fragment}
---@type lpeg.pattern
M.uri = l.Ct(l.Cg(scheme, "scheme") * ":" * (l.P "//" * authority * l.Cg((l.P "/" * path) ^ -1, "path") + l.Cg(path, "path")) * rest)
--- /path?query#fragment, as in a request line
---@type lpeg.pattern
M.relative = l.Ct(l.Cg(path, "path") * rest)
M.uri_reference = M.uri * -1 + M.relative * -1

--- Text with %41 read as A, and with `plus`, + as a space.
---@param text string
---@param plus? boolean
---@return string
function M.unescape(text, plus)
    if plus then
        text = string.gsub(text, "+", " ")
    end
    return (string.gsub(text, "%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

--- Text with what may not stand in a URI as %41.
---@param text string
---@return string
function M.escape(text)
    return (string.gsub(text, "[^%w%-%._~]", function(char) return string.format("%%%02X", string.byte(char)) end))
end

--- The parts of a URI or of a path with a query, or nil.
---@param text string
---@return table?
function M.parse(text)
    return M.uri_reference:match(text)
end

--- The parameters of a query: {name = value}; of a name that comes twice, the last.
---@param query string
---@return table<string, string>
function M.parse_query(query)
    local found = {}
    for pair in string.gmatch(query, "[^&;]+") do
        local name, value = string.match(pair, "^([^=]*)=(.*)$")
        found[M.unescape(name or pair, true)] = value and M.unescape(value, true) or ""
    end
    return found
end

return M
