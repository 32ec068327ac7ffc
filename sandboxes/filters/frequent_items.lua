--- Lists the most frequent values of a header or field, in memory that does not grow with the stream.
---
--- At each tick the items that were seen more than `min_output_weight` times are sent as a table (tsv), the most frequent first.
--- A weight is never too low, and too high by at most the error beside it (Space-Saving).
--@family filter
--@every 60s
--@option message_variable string required Header or field to count, such as Fields[remote_addr].
--@option max_items integer 1000 Items that are counted at the same time: the more, the smaller the errors.
--@option min_output_weight integer 100 Items seen less often are not listed.
--@option reset_days integer 1 Begins anew after so many days, at midnight UTC; 0: never.
--@sample
--  [filter.frequent_addresses]
--  type = "frequent_items"
--  match = 'Type == "nginx.access"'
--  message_variable = "Fields[remote_addr]"
--  max_items = 10000

require "topk"

local variable = read_config("message_variable")
local max_items = read_config("max_items") or 1000
local min_weight = read_config("min_output_weight") or 100
local reset_days = read_config("reset_days") or 1

local DAY = 86400000000000
local MOST_BYTES = 60000 -- of a table, below the default output_limit

items = topk.new(max_items)
day = 0

function process_message()
    local item = read_message(variable)
    if item ~= nil then
        items:add(tostring(item))
    end
    return 0
end

function timer_event(ns)
    local lines = { variable .. "\tWeight\tError" }
    local bytes = #lines[1]
    for _, found in ipairs(items:list()) do
        local line = string.format("%s\t%d\t%d", found.item:gsub("[\t\r\n]", " "), found.count, found.error)
        bytes = bytes + #line + 1
        if found.count <= min_weight or bytes > MOST_BYTES then
            break
        end
        lines[#lines + 1] = line
    end
    inject_payload("tsv", "Weighting by " .. variable, table.concat(lines, "\n"), "\n")

    local today = ns // DAY
    if day == 0 then
        day = today
    elseif reset_days > 0 and today - day >= reset_days then
        day = today
        items:clear()
    end
end
