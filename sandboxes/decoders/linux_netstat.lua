--- Reads the counters of the network protocols as Linux shows it in `/proc/net/netstat` and `/proc/net/snmp`.
--@family decoder
--@option type string "stats.netstat" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.netstat]
--  type = "linux_netstat"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local word = (l.P(1) - l.S " \n:") ^ 1
local number = l.P "-" ^ -1 * l.R "09" ^ 1 / tonumber
local names = l.C(word) * ":" * l.Ct((l.P " " * l.C(word)) ^ 1) * l.P "\n"
local values = l.C(word) * ":" * l.Ct((l.P " " * number) ^ 1) * l.P "\n" ^ -1
local grammar = l.Ct(l.Ct(names * values) ^ 1) * -1

function process_message()
    local text = read_message("Payload")
    local groups = grammar:match(text)
    if not groups then
        return -1, "this is neither /proc/net/netstat nor /proc/net/snmp"
    end
    local fields = {}
    for _, group in ipairs(groups) do
        for i, name in ipairs(group[2]) do
            fields[group[1] .. "_" .. name] = group[4][i]
        end
    end
    inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    return 0
end
