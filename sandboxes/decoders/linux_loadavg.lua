--- Reads the load averages as Linux shows it in `/proc/loadavg`.
--@family decoder
--@option type string "stats.loadavg" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.loadavg]
--  type = "linux_loadavg"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local integer = l.R "09" ^ 1 / tonumber
local number = l.R "09" ^ 1 * (l.P "." * l.R "09" ^ 1) ^ -1 / tonumber
local grammar = l.Ct(l.Cg(number, "1MinAvg") * " " * l.Cg(number, "5MinAvg") * " " * l.Cg(number, "15MinAvg") * " "
    * l.Cg(integer, "NumRunning") * "/" * l.Cg(integer, "NumProcesses") * " " * l.Cg(integer, "LastPid"))

function process_message()
    local text = read_message("Payload")
    local fields = grammar:match(text)
    if not fields then
        return -1, "this is not /proc/loadavg"
    end
    fields.LastPid = nil
    inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    return 0
end
