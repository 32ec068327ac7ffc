--- Tells when an error is seen for the first time: a new kind of message or stack trace.
---
--- What varies from case to case (numbers, hexadecimal ids, quoted text) is taken out of the message,
--- and of a stack trace only the first frames count; what is left is the error's fingerprint. An error
--- whose fingerprint was not seen before is told in a message of Type `heka.sandbox.new_error` with
--- the original text. Fingerprints are kept in a cuckoo filter: a million takes 4 MiB or so, and one in some ten thousand
--- new errors is taken for a known one. They survive reloads and restarts.
--@family filter
--@option field string "" Field with the error's text; empty: the payload.
--@option frames integer 3 Lines of a stack trace that count, besides the first line.
--@option items integer 100000 Fingerprints kept.
--@option forget_days integer 0 Days after which all is forgotten; 0: never.
--@sample
--  [filter.new_errors]
--  type = "new_errors"
--  match = 'Severity <= 3'

require "cuckoo_filter"

local source = read_config("field") == "" and "Payload" or "Fields[" .. read_config("field") .. "]"
local frames = read_config("frames")
local items = read_config("items")
local forget = read_config("forget_days") * 86400 * 1000000000

seen = cuckoo_filter.new(items)
since = 0

local function fingerprint(text)
    local lines = {}
    for line in string.gmatch(text, "[^\r\n]+") do
        line = string.gsub(line, "0[xX]%x+", "#")
        line = string.gsub(line, "%x%x%x%x%x%x%x%x[%x%-]*", "#")
        line = string.gsub(line, '"[^"]*"', '""')
        line = string.gsub(line, "'[^']*'", "''")
        line = string.gsub(line, "%d+", "#")
        lines[#lines + 1] = line
        if #lines > frames then
            break
        end
    end
    return table.concat(lines, "\n")
end

function process_message()
    local text = read_message(source)
    if type(text) ~= "string" or text == "" then
        return -1, "the message has no text in " .. source
    end
    local ns = read_message("Timestamp")
    if since == 0 then
        since = ns
    elseif forget > 0 and ns - since > forget then
        seen:clear()
        since = ns
    end
    local print_ = fingerprint(text)
    if seen:query(print_) then
        return 0
    end
    if seen:count() >= items then
        return -1, "the filter is full: raise items or set forget_days"
    end
    seen:add(print_)
    inject_message{
        Type = "new_error",
        Timestamp = ns,
        Severity = read_message("Severity"),
        Payload = text,
        Fields = { fingerprint = print_, logger = read_message("Logger"), hostname = read_message("Hostname") },
    }
    return 0
end
