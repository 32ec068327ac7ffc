--- Reads the counters of one disk as Linux shows it in `/sys/block/NAME/stat`.
--@family decoder
--@option type string "stats.diskstats" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.diskstats]
--  type = "linux_diskstats"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

-- Documentation/block/stat.rst of the kernel; later kernels append more.
local NAMES = {
    "ReadsCompleted", "ReadsMerged", "SectorsRead", "TimeReading", "WritesCompleted", "WritesMerged", "SectorsWritten", "TimeWriting",
    "NumIOInProgress", "TimeDoingIO", "WeightedTimeDoingIO",
    "DiscardsCompleted", "DiscardsMerged", "SectorsDiscarded", "TimeDiscarding", "FlushesCompleted", "TimeFlushing",
}
local MILLISECONDS = { TimeReading = true, TimeWriting = true, TimeDoingIO = true, WeightedTimeDoingIO = true, TimeDiscarding = true, TimeFlushing = true }

local space = l.S " \t" ^ 0
local grammar = l.Ct((space * (l.R "09" ^ 1 / tonumber)) ^ 11) * space * l.P "\n" ^ -1 * -1

function process_message()
    local text = read_message("Payload")
    local numbers = grammar:match(text)
    if not numbers then
        return -1, "this is not the stat file of a disk"
    end
    local fields = { FilePath = read_message("Fields[FilePath]"), TickerInterval = read_message("Fields[TickerInterval]") }
    for i, number in ipairs(numbers) do
        local name = NAMES[i]
        if name then
            fields[name] = MILLISECONDS[name] and { value = number, representation = "ms" } or number
        end
    end
    inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    return 0
end
