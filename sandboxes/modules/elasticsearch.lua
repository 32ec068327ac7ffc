-- Lines and documents for Elasticsearch's bulk API.

require "cjson"
local interpolate = require "msg_interpolate"

local M = {}

local HEADERS = { "Uuid", "Type", "Logger", "Severity", "Payload", "EnvVersion", "Pid", "Hostname" }

--- The line that says where the document of the next line belongs: `{"index":{"_index":…,"_type":…,"_id":…}}`.
--- Each part may hold `%{…}`; see the module msg_interpolate.
---@param index? string
---@param type_name? string Elasticsearch 8 has no types
---@param id? string
---@param ns? integer time for `%{%Y.%m.%d}`; the time now by default
---@return string
function M.bulkapi_index_json(index, type_name, id, ns)
    local parts = {}
    local function add(key, text)
        if text then
            parts[#parts + 1] = '"' .. key .. '":' .. cjson.encode(interpolate.interpolate_from_msg(text, ns and ns / 1e9))
        end
    end
    add("_index", index)
    add("_type", type_name)
    add("_id", id)
    return '{"index":{' .. table.concat(parts, ",") .. "}}"
end

--- A payload that is one document, as one line; nil if it has several lines and is no JSON.
---@param payload string
---@return string?
function M.payload_line(payload)
    payload = payload:gsub("%s+$", "")
    if not payload:find("[\r\n]") then
        return payload
    end
    local ok, document = pcall(cjson.decode, payload)
    return ok and cjson.encode(document) or nil
end

--- The message as a document: its headers and fields; a field with several values is a list.
---@return string
function M.message_json()
    local document = { Timestamp = os.date("!%Y-%m-%dT%H:%M:%SZ", read_message("Timestamp") // 1000000000) }
    for _, name in ipairs(HEADERS) do
        local value = read_message(name)
        if value ~= "" then
            document[name] = value
        end
    end
    for _, field in ipairs(decode_message(read_message("raw")).Fields or {}) do
        document[field.name] = #field.value == 1 and field.value[1] or field.value
    end
    return cjson.encode(document)
end

return M
