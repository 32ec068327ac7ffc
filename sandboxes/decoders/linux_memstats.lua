--- Reads the use of memory as Linux shows it in `/proc/meminfo`.
--@family decoder
--@option type string "stats.memstats" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.memstats]
--  type = "linux_memstats"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local space = l.S " \t" ^ 0
local name = l.C((l.P(1) - l.S ":\n") ^ 1)
local line = l.Ct(name * ":" * space * (l.R "09" ^ 1 / tonumber) * space * (l.C "kB" + l.Cc(nil))) * l.P "\n" ^ -1
local grammar = l.Ct(line ^ 1) * -1

function process_message()
    local text = read_message("Payload")
    local lines = grammar:match(text)
    if not lines then
        return -1, "this is not /proc/meminfo"
    end
    local fields, values = {}, {}
    for _, entry in ipairs(lines) do
        local key = string.gsub(string.gsub(entry[1], "%((.*)%)", "_%1"), "[^%w_]", "_")
        values[key] = entry[2]
        fields[key] = { value = entry[2], representation = entry[3] }
    end
    local used = (values.MemTotal or 0) - (values.MemAvailable or (values.MemFree or 0) + (values.Buffers or 0) + (values.Cached or 0))
    fields.MemUsed = { value = used, representation = "kB" }
    fields.SwapUsed = { value = (values.SwapTotal or 0) - (values.SwapFree or 0), representation = "kB" }
    inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    return 0
end
