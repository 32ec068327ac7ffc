-- What a test script finds: test, the functions that work on the script under test, and checks.
local stage = require "nilometer.stage"

process_message = function() return 0 end

local function key_text(key)
    if type(key) == "string" and key:find("^[%a_][%w_]*$") then return "." .. key end
    return "[" .. (type(key) == "string" and string.format("%q", key) or tostring(key)) .. "]"
end

local function sorted_keys(value)
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b)
        if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
        return type(a) < type(b)
    end)
    return keys
end

local function show(value, depth)
    if type(value) == "string" then
        local text = #value > 400 and value:sub(1, 400) .. "…" or value
        return '"' .. text:gsub('[%c"\\]', function(c)
            local short = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\" }
            return short[c] or string.format("\\%03d", c:byte())
        end) .. '"'
    end
    if type(value) ~= "table" then return tostring(value) end
    if (depth or 0) >= 4 then return "{…}" end
    local parts, listed = {}, #value
    for n = 1, math.min(listed, 20) do parts[n] = show(value[n], (depth or 0) + 1) end
    for _, key in ipairs(sorted_keys(value)) do
        if #parts >= 40 then
            parts[#parts + 1] = "…"
            break
        end
        if math.type(key) ~= "integer" or key < 1 or key > listed then
            local name = key_text(key):gsub("^%.", "")
            parts[#parts + 1] = name .. " = " .. show(value[key], (depth or 0) + 1)
        end
    end
    return "{" .. table.concat(parts, ", ") .. "}"
end

local function same_scalar(got, wanted)
    return got == wanted or (got ~= got and wanted ~= wanted)
end

-- Where two values differ: the path to it, and the two values there.
local function difference(got, wanted, path)
    if type(got) ~= "table" or type(wanted) ~= "table" then
        if same_scalar(got, wanted) then return nil end
        return path, got, wanted
    end
    for _, key in ipairs(sorted_keys(wanted)) do
        local at, a, b = difference(got[key], wanted[key], path .. key_text(key))
        if at then return at, a, b end
    end
    for _, key in ipairs(sorted_keys(got)) do
        if wanted[key] == nil then return path .. key_text(key), got[key], nil end
    end
end

local function because(why)
    return why and " (" .. tostring(why) .. ")" or ""
end

function equal(got, wanted, why)
    local at, a, b = difference(got, wanted, "")
    if at then
        local place = at == "" and "" or "at " .. at:gsub("^%.", "") .. ": "
        error(place .. "got " .. show(a) .. ", wanted " .. show(b) .. because(why), 2)
    end
end

function expect(value, why)
    if not value then error((why and tostring(why) or "expected something true") .. ": got " .. show(value), 2) end
end

function matches(text, pattern, why)
    if type(text) ~= "string" or not text:find(pattern) then
        error("got " .. show(text) .. ", wanted a match of " .. show(pattern) .. because(why), 2)
    end
end

function fails(f, pattern)
    local ok, message = pcall(f)
    if ok then error("it did not fail", 2) end
    message = tostring(message):gsub("^[^:\n]*_test%.lua:%d+: ", "")
    if pattern and not message:find(pattern) then
        error("got the failure " .. show(message) .. ", wanted a match of " .. show(pattern), 2)
    end
    return message
end

function test(name, f)
    if type(name) ~= "string" or type(f) ~= "function" then error("test(name, function) expected", 2) end
    if not stage.begin(name) then return end
    local ok, message = pcall(f)
    stage.finish(ok, not ok and tostring(message) or nil)
end

for _, name in ipairs { "script", "feed", "advance", "injected", "encoded", "reload", "tick", "shutdown", "now", "printed", "checkpoint", "confirmed" } do
    _G[name] = stage[name]
end
