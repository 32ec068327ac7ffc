--- Reads the slow query log of MariaDB: statistics become fields, the statement the payload.
---
--- A record is one entry of several lines, which begins with `# User@Host` or `# Time`: see the splitter of the sample.
--@family decoder
--@option type string "mariadb.slow-query" Type of the messages.
--@option truncate_sql integer 0 Bytes of the statement that are kept; 0: all.
--@option payload_keep boolean true Whether the statement stays as Payload.
--@sample
--  [input.slow]
--  type = "tail"
--  paths = "/var/log/mysql/slow.log"
--  splitter = "entries"
--  decoder = "slow"
--
--  [splitter.entries]
--  type = "regex"
--  delimiter = '\n(# User@Host)'
--  at = "start"
--
--  [decoder.slow]
--  type = "mariadb_slow_query"
--  truncate_sql = 1000

local mysql = require "mysql"

local message_type = read_config("type")
local truncate = read_config("truncate_sql")
local payload_keep = read_config("payload_keep")

function process_message()
    local entry = mysql.slow_query_grammar:match(read_message("Payload"))
    if not entry then
        return -1, "the record is no entry of a slow query log"
    end
    entry.Type = message_type
    entry.Hostname = nil -- the client's, which Fields[Host] has
    if not payload_keep then
        entry.Payload = nil
    elseif truncate > 0 and #entry.Payload > truncate then
        entry.Payload = string.sub(entry.Payload, 1, truncate) .. "..."
    end
    inject_message(entry)
    return 0
end
