--- Says who sends most: the items with the largest sums of a number, such as bytes by address, at each tick.
---
--- The message has the type `top_talkers`, a table in its payload, and fields for the first item. Sums are of the time since
--- the last tick; they are never too low, and off by at most 1/`counters` of the total.
--@family filter
--@every 10s
--@option item string required Header or field to group by, such as Fields[remote_addr].
--@option weight string Field to add up, such as Fields[body_bytes_sent]; by default messages are counted.
--@option top integer 10 Items that are listed.
--@option counters integer 1000 Items that are counted at the same time.
--@sample
--  [filter.top_clients]
--  type = "top_talkers"
--  match = 'Type == "nginx.access"'
--  item = "Fields[remote_addr]"
--  weight = "Fields[body_bytes_sent]"

require "topk"

local item_of = read_config("item")
local weight_of = read_config("weight")
local top = read_config("top") or 10

sums = topk.new(read_config("counters") or 1000)

function process_message()
    local item = read_message(item_of)
    if item == nil then
        return 0
    end
    local weight = 1
    if weight_of then
        weight = tonumber(read_message(weight_of))
        if not weight or weight ~= weight or weight < 0 then
            return -1, weight_of .. " is not a number that can be added up"
        end
    end
    sums:add(tostring(item), math.floor(weight))
    return 0
end

function timer_event()
    local total = sums:total()
    local list = sums:list(top)
    if #list == 0 or total == 0 then
        return
    end
    local lines = { "item\tsum\tshare" }
    for _, found in ipairs(list) do
        lines[#lines + 1] = string.format("%s\t%d\t%.1f%%", found.item:gsub("[\t\r\n]", " "), found.count, 100 * found.count / total)
    end
    inject_message{
        Type = "top_talkers",
        Payload = table.concat(lines, "\n") .. "\n",
        Fields = { first = list[1].item, first_sum = list[1].count, first_share = list[1].count / total, total = total },
    }
    sums:clear()
end
