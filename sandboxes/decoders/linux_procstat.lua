--- Reads the counters of the processors as Linux shows it in `/proc/stat`.
--@family decoder
--@option type string "stats.procstat" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.procstat]
--  type = "linux_procstat"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local CPU = { "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice" }
local SINGLE = { ctxt = true, btime = true, processes = true, procs_running = true, procs_blocked = true }

local name = l.C((l.R("az", "09") + "_") ^ 1)
local number = l.R "09" ^ 1 / tonumber
local line = l.Ct(name * (l.S " " ^ 1 * number) ^ 1) * l.P " " ^ 0 * l.P "\n" ^ -1
local grammar = l.Ct(line ^ 1) * -1

function process_message()
    local text = read_message("Payload")
    local lines = grammar:match(text)
    if not lines then
        return -1, "this is not /proc/stat"
    end
    local fields = {}
    for _, entry in ipairs(lines) do
        local key = entry[1]
        if string.find(key, "^cpu") then
            for i, part in ipairs(CPU) do
                fields[key .. "_" .. part] = entry[i + 1]
            end
        elseif SINGLE[key] then
            fields[key] = entry[2]
        end
    end
    inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    return 0
end
