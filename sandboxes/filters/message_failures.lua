--- Watches what the router sets aside: alarms when a plugin rejects more than usual.
---
--- Takes the messages of Type `nilometer.reject`, counts them by plugin, and at each tick tells the
--- plugins that rejected `limit` or more, with the most frequent reason and one of the records.
--@family filter
--@every 60s
--@option limit integer 10 Rejects of one plugin between two ticks that alarm.
--@option reasons integer 50 Reasons told apart for each plugin.
--@sample
--  [filter.message_failures]
--  type = "message_failures"
--  match = 'Type == "nilometer.reject"'

local limit = read_config("limit")
local max_reasons = read_config("reasons")

plugins = {}

function process_message()
    local name = read_message("Fields[plugin]") or "(unknown)"
    -- Numbers vary from record to record.
    local reason = string.gsub(read_message("Fields[reason]") or "", "%d+", "#")
    local plugin = plugins[name]
    if not plugin then
        plugin = { count = 0, reasons = {}, told_apart = 0 }
        plugins[name] = plugin
    end
    plugin.count = plugin.count + 1
    if not plugin.reasons[reason] then
        if plugin.told_apart >= max_reasons then
            reason = "(other)"
        end
        plugin.told_apart = plugin.told_apart + 1
        plugin.reasons[reason] = plugin.reasons[reason] or { count = 0, sample = string.sub(read_message("Payload") or "", 1, 200) }
    end
    plugin.reasons[reason].count = plugin.reasons[reason].count + 1
    return 0
end

local function most_frequent(reasons)
    local best, text
    for reason, r in pairs(reasons) do
        if not best or r.count > best.count or (r.count == best.count and reason < text) then
            best, text = r, reason
        end
    end
    return text, best
end

function timer_event()
    local lines = {}
    for name, plugin in pairs(plugins) do
        if plugin.count >= limit then
            local reason, r = most_frequent(plugin.reasons)
            lines[#lines + 1] = string.format("%s: %d rejects, %d of them: %s\n  such as: %s", name, plugin.count, r.count, reason, r.sample)
        end
    end
    plugins = {}
    if #lines > 0 then
        table.sort(lines)
        inject_payload("alert", "message failures", table.concat(lines, "\n"))
    end
end
