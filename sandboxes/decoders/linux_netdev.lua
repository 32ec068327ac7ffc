--- Reads the counters of all network devices as Linux shows it in `/proc/net/dev`.
--@family decoder
--@option type string "stats.netdev" Type of the messages.
--@option payload_keep boolean false Whether the text stays as Payload.
--@sample
--  [decoder.netdev]
--  type = "linux_netdev"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local NAMES = {
    "rx_bytes", "rx_packets", "rx_errs", "rx_drop", "rx_fifo", "rx_frame", "rx_compressed", "rx_multicast",
    "tx_bytes", "tx_packets", "tx_errs", "tx_drop", "tx_fifo", "tx_colls", "tx_carrier", "tx_compressed",
}

local space = l.S " \t" ^ 0
local line = l.Ct(space * l.C((l.P(1) - l.S ": \n|") ^ 1) * ":" * (space * (l.R "09" ^ 1 / tonumber)) ^ 16) * space * l.P "\n" ^ -1
local header = (l.P(1) - "\n") ^ 0 * "\n"
local grammar = l.Ct((line + header) ^ 1)

function process_message()
    local text = read_message("Payload")
    local devices = grammar:match(text)
    if not devices or #devices == 0 then
        return -1, "this is not /proc/net/dev"
    end
    for _, device in ipairs(devices) do
        local fields = { device = device[1] }
        for i, name in ipairs(NAMES) do
            fields[name] = device[i + 1]
        end
        inject_message{ Type = message_type, Payload = payload_keep and text or nil, Fields = fields }
    end
    return 0
end
