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

local decode = mysql.slow_query_decoder()

function process_message()
    return decode(read_message("Payload"))
end
