--- Collects lines for InfluxDB (line protocol of 0.9 and later) and sends them in batches.
---
--- A batch is sent at each tick, and before when it has `flush_count` messages or `flush_bytes` bytes. The other options are
--- those of the encoder schema_influx_line.
--@family filter
--@every 10s
--@option decimal_precision string "6" Digits after the point.
--@option name_prefix string In front of each field's name; may hold %{Hostname} or %{field}.
--@option name_prefix_delimiter string Between prefix and name.
--@option skip_fields string Names of fields to leave out, parted by spaces.
--@option multi_fields boolean false One line with all fields of a message, whose name is name_prefix.
--@option source_value_field string Only this field is written, and name_prefix is its whole name.
--@option tag_fields string "**all_base**" Names of headers (Type, Hostname, Severity, Logger) and fields that become tags, parted by spaces.
--@option timestamp_precision string "ms" h, m, s, ms, us or ns: what the write address says.
--@option value_field_key string "value" The name of the value.
--@option flush_count integer 0 Messages of a batch; 0: as many as there are between two ticks.
--@option flush_bytes integer 32768 Bytes after which a batch is sent; a message's lines come on top. Below output_limit.
--@sample
--  [filter.influx]
--  type = "influx_batch"
--  match = 'Type =~ /^stats/'
--  tag_fields = "Hostname"
--  timestamp_precision = "ns"
--  flush_count = 500
--
--  [output.influx]
--  type = "udp"
--  address = "127.0.0.1:8089"
--  match = 'Fields[payload_name] == "influx_line"'
--  encoder = "payload"

local lines = require "ts_line_protocol"

local config = lines.influxdb_config()
local flush_count = read_config("flush_count") or 0
local flush_bytes = read_config("flush_bytes") or 32768

-- The batch: texts, their bytes, and how many messages they are of.
batch = {}
bytes = 0
messages = 0

local function flush()
    if #batch > 0 then
        inject_payload("txt", "influx_line", table.concat(batch))
    end
    batch, bytes, messages = {}, 0, 0
end

function process_message()
    local found = lines.influxdb_line_msg(config)
    if #found == 0 then
        return 0
    end
    local text = table.concat(found, "\n") .. "\n"
    batch[#batch + 1] = text
    bytes, messages = bytes + #text, messages + 1
    if bytes >= flush_bytes or flush_count > 0 and messages >= flush_count then
        flush()
    end
    return 0
end

function timer_event()
    flush()
end
