-- Sets of header and field names, as encoders have them in their options.

local interpolate = require "msg_interpolate"

local M = {}

--- Headers that count as fields.
---@type table<string, boolean>
M.base_fields_list = { Type = true, Payload = true, Hostname = true, Pid = true, Logger = true, Severity = true, EnvVersion = true }

--- Those of them that have few enough values for a tag.
---@type table<string, boolean>
M.base_fields_tag_list = { Type = true, Hostname = true, Severity = true, Logger = true }

local NANOSECONDS = { n = 1, ns = 1, u = 1000, us = 1000, ms = 1000000, s = 1000000000, m = 60000000000, h = 3600000000000 }

--- A text with its `%{…}` replaced; see the module msg_interpolate.
---@param text string
---@return string
function M.field_interp(text)
    return interpolate.interpolate_from_msg(text)
end

--- The set of the names in a text, which are parted by space. `**all_base**` stands for all headers,
--- `**all**` for those and all fields, `**none**` for nothing; no text is `**all_base**`.
---@param names? string
---@return table<string, boolean> set
---@return boolean all_base
---@return boolean all
function M.field_map(names)
    local set, all_base, all = {}, false, false
    if not names or not names:find("%S") then
        names = "**all_base**"
    end
    for name in names:gmatch("%S+") do
        all_base = all_base or name == "**all_base**"
        all = all or name == "**all**"
        if name ~= "**none**" then
            set[name] = true
        end
    end
    if all_base or all then
        for name in pairs(M.base_fields_list) do
            set[name] = true
        end
    end
    return set, all_base, all
end

--- The message's time in a unit: "h", "m", "s", "ms" (by default), "us" or "ns".
---@param precision? string
---@return integer
function M.message_timestamp(precision)
    local unit = NANOSECONDS[precision or "ms"]
    if not unit then
        error("timestamp_precision is '" .. precision .. "'; h, m, s, ms, us or ns expected", 2)
    end
    return math.floor(read_message("Timestamp") // unit)
end

--- The headers that are not in a set.
---@param skip table<string, boolean>
---@return table<string, boolean>
function M.used_base_fields(skip)
    local used = {}
    for name in pairs(M.base_fields_list) do
        used[name] = not skip[name] or nil
    end
    return used
end

return M
