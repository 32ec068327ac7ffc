--- Keeps a share of the traffic, whole traces at a time: all messages of a trace stay or go together.
---
--- The decision is a hash of the trace id, so every host that runs this script with the same `keep`
--- decides alike. Errors always stay. What stays gets a field with the share, for those who want to count.
--@family transform
--@option keep number 0.1 Share of traces that stay, from 0 to 1.
--@option field string "trace_id" Field with the trace id; messages without it stay.
--@option always_severity integer 3 Messages of this severity or a graver one stay.
--@option status_field string "status" Field with a status; from 500 on the message stays.
--@option rate_field string "sample_rate" Field that tells the share; empty: none.
--@sample
--  [input.app]
--  type = "tail"
--  paths = "/var/log/app/*.json"
--  decoder = "json"
--  transform = ["sample"]
--
--  [transform.sample]
--  type = "sample_by_trace"
--  keep = 0.05

require "xxhash"

local keep = read_config("keep")
local field = "Fields[" .. read_config("field") .. "]"
local always_severity = read_config("always_severity")
local status_field = "Fields[" .. read_config("status_field") .. "]"
local rate_field = read_config("rate_field") ~= "" and "Fields[" .. read_config("rate_field") .. "]"
local DROP = -2

assert(keep >= 0 and keep <= 1, "keep is a share from 0 to 1")

function process_message()
    local trace = read_message(field)
    if trace == nil or read_message("Severity") <= always_severity then
        return 0
    end
    local status = tonumber(read_message(status_field))
    if status and status >= 500 then
        return 0
    end
    if xxhash.h32(tostring(trace)) / 4294967296 >= keep then
        return DROP
    end
    if rate_field then
        write_message(rate_field, keep)
    end
    return 0
end
