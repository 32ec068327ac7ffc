--- Writes an alert as text that a person reads: when, which host, which plugin, what.
---
--- For an output that mails or posts the payloads of type "alert".
--@family encoder
--@sample
--  [output.alerts]
--  type = "file"
--  match = 'Type == "heka.sandbox-output" && Fields[payload_type] == "alert"'
--  dir = "/var/log/nilo"
--  name = "alerts.txt"
--  encoder = "alert"

function process_message()
    local time = os.date("!%Y-%m-%dT%H:%M:%SZ", read_message("Timestamp") // 1000000000)
    add_to_payload(
        "Timestamp: ", time, "\n",
        "Hostname: ", read_message("Hostname"), "\n",
        "Plugin: ", read_message("Logger"), "\n",
        "Alert: ", read_message("Payload"), "\n"
    )
    inject_payload()
    return 0
end
