-- Small functions on tables.

local M = {}

--- Drops the first items of a list, in place: the item at `index` becomes the first.
---@param index integer
---@param list any[]
function M.behead_array(index, list)
    local len = #list
    if not index or index <= 1 or len == 0 then
        return
    end
    table.move(list, index, math.max(len, index), 1)
    for i = math.max(len - index + 2, 1), len do
        list[i] = nil
    end
end

--- Goes over a table in the order of its keys; numbers come before text.
---@param t table
---@param before? fun(a: any, b: any): boolean order of the keys
---@return fun(): any, any
function M.pairs_by_key(t, before)
    local keys = {}
    for key in pairs(t) do
        keys[#keys + 1] = key
    end
    table.sort(keys, before or function(a, b)
        if type(a) == type(b) then
            return a < b
        end
        return type(a) == "number"
    end)
    local i = 0
    return function()
        i = i + 1
        return keys[i], t[keys[i]]
    end
end

--- Puts the entries of a table into another one. Tables in both are merged, for others the last wins.
---@param into table
---@param from table
---@return table into
function M.merge_objects(into, from)
    for key, value in pairs(from) do
        if type(value) == "table" then
            local old = into[key]
            into[key] = M.merge_objects(type(old) == "table" and old or {}, value)
        else
            into[key] = value
        end
    end
    return into
end

--- Makes fields of a message of a table in which there are tables: `{a = {b = 1}}` becomes `a.b = 1`.
---@param t table
---@param fields table<string, any> gets the fields
---@param parent? string name in front of all
---@param separator? string "." by default
---@param depth? integer tables below this are left out; none by default
---@return table<string, any> fields
function M.table_to_fields(t, fields, parent, separator, depth)
    separator = separator or "."
    for key, value in pairs(t) do
        local name = parent and parent .. separator .. key or tostring(key)
        if type(value) == "table" then
            if not depth or depth > 1 then
                M.table_to_fields(value, fields, name, separator, depth and depth - 1)
            end
        elseif type(value) ~= "userdata" and type(value) ~= "function" then
            fields[name] = value
        end
    end
    return fields
end

return M
