-- Reads "cbufd" payloads: what has changed in a circular buffer, as another filter sent it.

local M = {}

---@class CbufdRow: number[] the changes of the columns; NaN where there is none
---@field time integer nanoseconds

---@class Cbufd: CbufdRow[]
---@field header string JSON that describes the buffer

local NAN = 0 / 0

-- One line: seconds, then a value for each column.
local function row(line)
    local seconds, values = string.match(line, "^(%d+)\t(.+)$")
    if not seconds or #seconds > 10 then
        return nil
    end
    local found = { time = math.tointeger(tonumber(seconds)) * 1000000000 }
    for word in string.gmatch(values, "[^\t]+") do
        local value = word == "nan" and NAN or tonumber(word) or word == "inf" and 1 / 0 or word == "-inf" and -1 / 0
        if not value then
            return nil
        end
        found[#found + 1] = value
    end
    return found
end

--- An object with the method of an LPeg grammar: `cbufd.grammar:match(payload)`.
M.grammar = {}

--- The rows of a payload and its header; nil when it is no cbufd.
---@param payload? string
---@return Cbufd?
function M.grammar:match(payload)
    local header, rest = string.match(payload or "", "^({[^\n]*})\n(.*)$")
    if not header then
        return nil
    end
    local found = { header = header }
    for line in string.gmatch(rest, "[^\n]+") do
        local values = row(line)
        if not values then
            return nil
        end
        found[#found + 1] = values
    end
    return found
end

--- What process_message does with a cbufd: `take` gets rows and header; an error in there refuses the message.
---@param take fun(data: Cbufd)
---@return integer, string?
function M.process(take)
    local data = M.grammar:match(read_message("Payload"))
    if not data then
        return -1, "the payload is no cbufd"
    end
    local ok, why = pcall(take, data)
    if not ok then
        return -1, tostring(why)
    end
    return 0
end

return M
