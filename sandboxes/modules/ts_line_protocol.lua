-- Lines for InfluxDB (line protocol, https://docs.influxdata.com/influxdb/v1/write_protocols/) and for
-- Graphite (carbon's plain text), one for each field of the message, or one for all.

local field_util = require "field_util"
local interpolate = require "msg_interpolate"

local M = {}

local DEFAULTS = {
    carbon_format = false,
    decimal_precision = "6",
    multi_fields = false,
    name_prefix = false,
    name_prefix_delimiter = false,
    skip_fields_str = false,
    source_value_field = false,
    tag_fields_str = "**all_base**",
    timestamp_precision = "ms",
    value_field_key = "value",
}

local BYTES = 1 -- the type of a field whose values are bytes

-- Headers in the order in which they become tags.
local TAG_HEADERS = {}
for name in pairs(field_util.base_fields_tag_list) do
    TAG_HEADERS[#TAG_HEADERS + 1] = name
end
table.sort(TAG_HEADERS)

-- Escapes a name or tag. Line ends cannot be written, nor a backslash at the end.
local function escape(value, special)
    return (tostring(value):gsub("[\r\n]+", " "):gsub("\\+$", ""):gsub(special, "\\%0"))
end

local function measurement(name)
    return escape(name, "[ ,]")
end

local function key(name)
    return escape(name, "[ ,=]")
end

-- A number, or a text that is one; nothing else.
local function number_of(value)
    if type(value) == "number" then
        return value == value and math.abs(value) ~= math.huge and value or nil
    end
    return type(value) == "string" and value:find("^-?%d+%.?%d*$") and tonumber(value) or nil
end

-- Always with a fraction, because InfluxDB refuses a field that is an integer here and a float there.
local function influx_value(value, config)
    local number = number_of(value)
    if number then
        return string.format(config.number_format, number)
    elseif type(value) == "boolean" then
        return tostring(value)
    elseif type(value) == "string" then
        return '"' .. value:gsub('[\\"]', "\\%0") .. '"'
    end
end

-- The message's values as a list of {name, value}, and its tags.
local function points_and_tags(config)
    local prefix = config.name_prefix and interpolate.interpolate_from_msg(config.name_prefix) or ""
    local lead = prefix == "" and "" or prefix .. (config.name_prefix_delimiter or "")
    local points, tags, seen = {}, {}, {}

    local function tag(name, value)
        value = escape(value, "[ ,=]")
        if value ~= "" and not config.carbon_format then
            tags[#tags + 1] = key(name) .. "=" .. value
        end
    end

    for _, name in ipairs(TAG_HEADERS) do
        if config.used_tag_fields[name] then
            tag(name, read_message(name))
        end
    end
    for _, field in ipairs(decode_message(read_message("raw")).Fields or {}) do
        local name = field.name
        local shown = config.carbon_format and name:gsub("%W", "_") or name
        local index = seen[name] or 0
        seen[name] = index + 1
        if index > 0 then
            shown = shown .. "_fidx_" .. index
        end
        for i, value in ipairs(field.value_type == BYTES and {} or field.value) do
            local label = i > 1 and shown .. "_vidx_" .. i - 1 or shown
            if config.tag_fields_all or config.used_tag_fields[name] then
                tag(label, value)
            end
            if config.source_value_field then
                if name == config.source_value_field then
                    points[#points + 1] = { prefix, value }
                end
            elseif not config.skip_fields[name] then
                points[#points + 1] = { config.multi_fields and label or lead .. label, value }
            end
        end
    end
    return points, tags, prefix
end

--- What an encoder's options mean, for the other functions. Options that are missing have their defaults.
---@param options table carbon_format, decimal_precision, multi_fields, name_prefix, name_prefix_delimiter, skip_fields_str, source_value_field, tag_fields_str, timestamp_precision, value_field_key
---@return table config
function M.set_config(options)
    local config = {}
    for name, default in pairs(DEFAULTS) do
        config[name] = options[name] or default
    end
    local digits = math.tointeger(tonumber(config.decimal_precision))
    if not digits or digits < 0 or digits > 17 then
        error("decimal_precision is '" .. tostring(config.decimal_precision) .. "'; 0 to 17 expected", 2)
    end
    if (config.multi_fields or config.source_value_field) and not config.name_prefix then
        error("multi_fields and source_value_field need a name_prefix, which becomes the name", 2)
    end
    config.number_format = "%." .. digits .. "f"
    config.skip_fields, config.skip_fields_all_base = {}, false
    if config.skip_fields_str then
        config.skip_fields, config.skip_fields_all_base = field_util.field_map(config.skip_fields_str)
    end
    config.used_base_fields = field_util.used_base_fields(config.skip_fields)
    config.used_tag_fields, config.tag_fields_all_base, config.tag_fields_all = field_util.field_map(config.tag_fields_str)
    return config
end

--- What the script's own options mean, when they are those of the encoder schema_influx_line.
---@return table config
function M.influxdb_config()
    return M.set_config{
        decimal_precision = read_config("decimal_precision"),
        name_prefix = read_config("name_prefix"),
        name_prefix_delimiter = read_config("name_prefix_delimiter"),
        skip_fields_str = read_config("skip_fields"),
        multi_fields = read_config("multi_fields"),
        source_value_field = read_config("source_value_field"),
        tag_fields_str = read_config("tag_fields"),
        timestamp_precision = read_config("timestamp_precision"),
        value_field_key = read_config("value_field_key"),
    }
end

--- Lines for carbon: those of the message's fields that are numbers.
---@param config table of set_config
---@return string[]
function M.carbon_line_msg(config)
    local lines, time = {}, field_util.message_timestamp(config.timestamp_precision)
    for _, point in ipairs((points_and_tags(config))) do
        local number = number_of(point[2])
        if number then
            local shown = math.type(number) == "integer" and tostring(number) or string.format("%.14g", number)
            lines[#lines + 1] = string.format("%s %s %d", point[1]:gsub("%s", "_"), shown, time)
        end
    end
    return lines
end

--- Lines for InfluxDB.
---@param config table of set_config
---@return string[]
function M.influxdb_line_msg(config)
    local time = field_util.message_timestamp(config.timestamp_precision)
    local points, tags, prefix = points_and_tags(config)
    local suffix = #tags > 0 and "," .. table.concat(tags, ",") or ""
    local lines, fields = {}, {}
    for _, point in ipairs(points) do
        local value = influx_value(point[2], config)
        if value and config.multi_fields then
            fields[#fields + 1] = key(point[1]) .. "=" .. value
        elseif value then
            lines[#lines + 1] = string.format("%s%s %s=%s %d", measurement(point[1]), suffix, key(config.value_field_key), value, time)
        end
    end
    if #fields > 0 then
        lines[1] = string.format("%s%s %s %d", measurement(prefix), suffix, table.concat(fields, ","), time)
    end
    return lines
end

return M
