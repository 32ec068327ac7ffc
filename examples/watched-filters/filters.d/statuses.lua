--- Counts answers by status.
--@family filter
--@match Type == "nginx.access"
--@option least integer 1 Statuses with fewer answers are left out.
--@config least = 10
--@limit memory_limit 1MiB

local least = read_config("least")

counts = {}

function process_message()
    local status = read_message("Fields[status]")
    counts[status] = (counts[status] or 0) + 1
    return 0
end

function timer_event()
    local statuses = {}
    for status, n in pairs(counts) do
        if n >= least then
            statuses[#statuses + 1] = status
        end
    end
    table.sort(statuses)
    for _, status in ipairs(statuses) do
        add_to_payload(status, " ", counts[status], "\n")
    end
    inject_payload("txt", "statuses")
end
