--- Takes card numbers and access tokens out of messages before anyone else sees them.
---
--- A card number is 13 to 19 digits, with spaces or dashes between them, that pass the Luhn check; so order
--- numbers stay. Tokens are what follows `Bearer`, `password=`, `token=`, `api_key=` and the like, JSON
--- Web Tokens, and keys with well-known prefixes (AWS, GitHub, Slack). The last four digits of a card may stay.
--@family transform
--@option fields string "" Fields to look through besides the payload, separated by commas; `*`: all text fields.
--@option mask string "[redacted]" What stands in place of a secret.
--@option keep_last_four boolean true Whether the last four digits of a card number stay.
--@sample
--  [input.app]
--  type = "tail"
--  paths = "/var/log/app/*.log"
--  transform = ["redact_secrets"]

local mask = read_config("mask")
local keep_last_four = read_config("keep_last_four")
local every_field = read_config("fields") == "*"
local names = {}
for name in string.gmatch(read_config("fields"), "[^,%s]+") do
    names[#names + 1] = name
end

local replacement = string.gsub(mask, "%%", "%%%%")
local KEYS = { "password", "passwd", "secret", "token", "api_key", "apikey", "access_key", "client_secret" }
local PREFIXED = { "AKIA%u%u%u%w%w%w%w%w%w%w%w%w%w%w%w%w", "gh[pousr]_%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w+", "xox[abprs]%-[%w%-]+" }

local function luhn(digits)
    local sum, double = 0, false
    for i = #digits, 1, -1 do
        local n = string.byte(digits, i) - 48
        if double then
            n = n * 2
            if n > 9 then
                n = n - 9
            end
        end
        sum = sum + n
        double = not double
    end
    return sum % 10 == 0
end

local function card(text)
    local digits = string.gsub(text, "[ %-]", "")
    if #digits < 13 or #digits > 19 or not luhn(digits) then
        return nil
    end
    return keep_last_four and mask .. string.sub(digits, -4) or mask
end

-- "Password" is found by "[pP][aA]…".
local function any_case(word)
    return (string.gsub(word, "%a", function(c) return "[" .. c .. string.upper(c) .. "]" end))
end

local patterns = {}
for _, key in ipairs(KEYS) do
    patterns[#patterns + 1] = { "(" .. any_case(key) .. '"?%s*[=:]%s*"?)[^%s"&,;]+', "%1" .. replacement }
end
patterns[#patterns + 1] = { "(" .. any_case("bearer") .. "%s+)[%w%-%._~%+/]+=*", "%1" .. replacement }
patterns[#patterns + 1] = { "eyJ[%w%-_]+%.[%w%-_]+%.[%w%-_]*", replacement }
for _, pattern in ipairs(PREFIXED) do
    patterns[#patterns + 1] = { pattern, replacement }
end

local function clean(text)
    local found = string.gsub(text, "%d[%d %-]+%d", card)
    for _, p in ipairs(patterns) do
        found = string.gsub(found, p[1], p[2])
    end
    return found
end

local function clean_field(name)
    local variable = "Fields[" .. name .. "]"
    local i = 0
    while true do
        local value = read_message(variable, 0, i)
        if type(value) ~= "string" then
            return
        end
        local cleaned = clean(value)
        if cleaned ~= value then
            write_message(variable, cleaned, nil, 0, i)
        end
        i = i + 1
    end
end

function process_message()
    local payload = read_message("Payload")
    if payload and payload ~= "" then
        local cleaned = clean(payload)
        if cleaned ~= payload then
            write_message("Payload", cleaned)
        end
    end
    if every_field then
        local found = {}
        for name in pairs(msg.Fields) do
            found[#found + 1] = name
        end
        names = found
    end
    for _, name in ipairs(names) do
        clean_field(name)
    end
    return 0
end
