-- Texts with parts of the message and of a time in them: "%{Type}-%{host|unknown}-%{%Y.%m.%d}".

local M = {}

local HEADERS = {
    Type = "Type",
    Hostname = "Hostname",
    Pid = "Pid",
    UUID = "Uuid",
    Uuid = "Uuid",
    Logger = "Logger",
    EnvVersion = "EnvVersion",
    Severity = "Severity",
    Payload = "Payload",
}

local function text_of(value)
    if math.type(value) == "float" then
        return string.format("%.14g", value)
    end
    return value ~= nil and tostring(value) or nil
end

local function part_of_message(name)
    if HEADERS[name] then
        return text_of(read_message(HEADERS[name]))
    end
    return text_of(read_message("Fields[" .. name .. "]"))
end

local function part_of_time(format, secs)
    if not format:find("%", 1, true) then
        return nil
    end
    local ok, text = pcall(os.date, "!" .. format:gsub("^!", ""), secs)
    return ok and text or nil
end

--- Replaces each `%{…}` of a text: `%{Type}` (or Hostname, Pid, UUID, Logger, EnvVersion, Severity, Payload) and
--- `%{field}` by what the message has, `%{field|else}` by the rest if it has none, `%{%Y.%m.%d}` by a time in UTC.
--- What is none of these stays as it is.
---@param text string
---@param secs? number seconds since 1970; the time now by default
---@return string
function M.interpolate_from_msg(text, secs)
    if not text:find("%{", 1, true) then
        return text
    end
    secs = secs and math.floor(secs)
    return (text:gsub("%%{(.-)}", function(inner)
        local found = part_of_message(inner)
        if found then
            return found
        end
        local name, fallback = inner:match("^([^|]*)|(.*)$")
        if name then
            return part_of_message(name) or fallback
        end
        return part_of_time(inner, secs)
    end))
end

return M
