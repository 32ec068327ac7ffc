--- Adds up what was sent.
--@family filter
--@match Type == "nginx.access" && Fields[body_bytes_sent] > 0

total = 0

function process_message()
    total = total + read_message("Fields[body_bytes_sent]")
    return 0
end

function timer_event()
    inject_payload("txt", "bytes", total, " bytes sent\n")
end
