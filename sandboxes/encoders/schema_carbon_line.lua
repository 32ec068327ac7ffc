--- Writes the numbers among a message's fields as lines for Graphite (carbon's plain text).
---
--- A line is `prefix.field value seconds`. Letters in a field's name that are neither letters nor digits become `_`.
--@family encoder
--@option name_prefix string In front of each field's name; may hold %{Hostname} or %{field}.
--@option name_prefix_delimiter string "." Between prefix and name.
--@option skip_fields string Names of fields to leave out, parted by spaces.
--@option source_value_field string Only this field is written, and name_prefix is its whole name.
--@sample
--  [output.graphite]
--  type = "tcp"
--  address = "127.0.0.1:2003"
--  match = 'Type =~ /^stats/'
--  encoder = "carbon"
--
--  [encoder.carbon]
--  type = "schema_carbon_line"
--  name_prefix = "%{Environment}.%{Hostname}.%{Type}"

local lines = require "ts_line_protocol"

local config = lines.set_config{
    carbon_format = true,
    timestamp_precision = "s",
    name_prefix = read_config("name_prefix"),
    name_prefix_delimiter = read_config("name_prefix_delimiter") or ".",
    skip_fields_str = read_config("skip_fields"),
    source_value_field = read_config("source_value_field"),
}

function process_message()
    local found = lines.carbon_line_msg(config)
    if #found == 0 then
        return -2
    end
    add_to_payload(table.concat(found, "\n"), "\n")
    inject_payload("txt", "carbon_line")
    return 0
end
