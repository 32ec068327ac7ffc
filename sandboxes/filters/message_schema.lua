--- Describes the messages of a stream: loggers, types, versions, and the fields of each with their types and counts.
---
--- For looking at what is there. A field that not all messages have is optional, one with several types is a mismatch.
--- After `max_names` different names, new ones are only counted.
--@family filter
--@every 60s
--@option max_names integer 2000 Loggers, types, versions and fields that are told apart.
--@sample
--  [filter.schema]
--  type = "message_schema"
--  match = 'Logger =~ /^web/'

local util = require "util"

local max_names = read_config("max_names") or 2000
local TYPES = { [0] = "string", "bytes", "integer", "number", "bool" }
local MOST_BYTES = 60000 -- of a description, below the default output_limit

-- Entries of loggers, in them of types, of versions, of fields: {count, type, names = {…}}.
schema = { count = 0, names = {} }
names = 0
overlooked = 0

-- The entry of a name, counted; nothing if there are too many.
local function entry(parent, name)
    local found = parent.names[name]
    if not found then
        if names >= max_names then
            overlooked = overlooked + 1
            return nil
        end
        names = names + 1
        found = { count = 0, names = {} }
        parent.names[name] = found
    end
    found.count = found.count + 1
    return found
end

function process_message()
    local at = schema
    for _, header in ipairs{ "Logger", "Type", "EnvVersion" } do
        at = at and entry(at, read_message(header) or "")
    end
    if not at then
        return 0
    end
    local seen = {}
    for _, field in ipairs(decode_message(read_message("raw")).Fields or {}) do
        local found = not seen[field.name] and entry(at, field.name)
        seen[field.name] = true
        if found then
            local type_ = TYPES[field.value_type or 0] or "unknown"
            found.type = (found.type or type_) == type_ and type_ or "mismatch"
        end
    end
    return 0
end

function timer_event()
    local lines, bytes = {}, 0
    local function line(text)
        text = text:gsub("[\r\n]", " ")
        bytes = bytes + #text + 1
        if bytes <= MOST_BYTES then
            lines[#lines + 1] = text
        end
    end
    for logger, types in util.pairs_by_key(schema.names) do
        line(string.format("%s [%d]", logger == "" and "-no logger-" or logger, types.count))
        for type_, versions in util.pairs_by_key(types.names) do
            line(string.format("    %s [%d]", type_ == "" and "-no type-" or type_, versions.count))
            for version, fields in util.pairs_by_key(versions.names) do
                line(string.format("        %s [%d]", version == "" and "-no version-" or version, fields.count))
                for name, field in util.pairs_by_key(fields.names) do
                    local optional = field.count < fields.count and string.format(" - optional [%d]", field.count) or ""
                    line(string.format("            %s (%s%s)", name, field.type, optional))
                end
            end
        end
    end
    if bytes > MOST_BYTES then
        lines[#lines + 1] = "… and more, which has no room here"
    end
    if overlooked > 0 then
        lines[#lines + 1] = string.format("%d names were overlooked, see max_names", overlooked)
    end
    inject_payload("txt", "Message Schema", table.concat(lines, "\n"), "\n")
end
