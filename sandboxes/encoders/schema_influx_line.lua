--- Writes a message's fields as lines for InfluxDB (line protocol of 0.9 and later).
---
--- A line is `prefixfield,tags value=… time`. Numbers are always written with a fraction, because InfluxDB refuses a field that is
--- an integer at one time and a float at another. Where names are listed, `**all_base**` stands for all headers, `**all**`
--- for all headers and fields, `**none**` for nothing.
--@family encoder
--@option decimal_precision string "6" Digits after the point.
--@option name_prefix string In front of each field's name; may hold %{Hostname} or %{field}.
--@option name_prefix_delimiter string Between prefix and name.
--@option skip_fields string Names of fields to leave out, parted by spaces.
--@option multi_fields boolean false One line with all fields, whose name is name_prefix.
--@option source_value_field string Only this field is written, and name_prefix is its whole name.
--@option tag_fields string "**all_base**" Names of headers (Type, Hostname, Severity, Logger) and fields that become tags, parted by spaces.
--@option timestamp_precision string "ms" h, m, s, ms, us or ns: what the write address says.
--@option value_field_key string "value" The name of the value.
--@sample
--  [output.influx]
--  type = "udp"
--  address = "127.0.0.1:8089"
--  match = 'Type =~ /^stats/'
--  encoder = "points"
--
--  [encoder.points]
--  type = "schema_influx_line"
--  tag_fields = "Hostname Environment"
--  timestamp_precision = "ns"

local lines = require "ts_line_protocol"

local config = lines.influxdb_config()

function process_message()
    local found = lines.influxdb_line_msg(config)
    if #found == 0 then
        return -2
    end
    add_to_payload(table.concat(found, "\n"), "\n")
    inject_payload("txt", "influx_line")
    return 0
end
