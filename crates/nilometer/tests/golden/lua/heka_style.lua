-- Heka style
require "circular_buffer"
require "string"
local _G, M, pairs, setfenv = _G, {}, pairs, setfenv
module("x", package.seeall)
local l = require "lpeg"
l.locale(l)
local rc = read_config
local a, b = rc("a"), rc("b")
data = circular_buffer.new(2, 1, 60)
local function helper(x, ...) local y <const> = x; goto done ::done:: return y, ... end
function process_message()
    local t = { a = 1, [b] = 2, helper(1), "x" }
    for i, v in ipairs(t) do t[i] = v // 1 end
    for i = 1, 10 do if not seen then seen = i end end
    repeat local z = 1 until z > 0
    _G.counter = (_G.counter or 0) + 1
    if _G["nothing"] then return -1 end
    t.x, t.y = 1, 2
    foo, bar = 1, 2
    print(foo, bar, counter, _PRESERVATION_VERSION)
    setfenv(1, M)
    undefined_in_m()
    M.undefined_in_m = function() end
    data:add(read_message("Timestamp"), 1, 1)
    return 0, "x" .. t.x / 2 .. #t
end
