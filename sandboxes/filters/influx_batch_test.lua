local function send(n)
    return feed{ Type = "stats", Timestamp = 1000000000, Fields = { n = n } }
end

local function sent()
    local payloads = {}
    for i, message in ipairs(injected()) do
        equal(message.Fields.payload_name, "influx_line")
        payloads[i] = message.Payload
    end
    return payloads
end

local CONFIG = { tag_fields = "**none**", timestamp_precision = "s", decimal_precision = "0" }

test("sends a batch at each tick", function()
    script{ config = CONFIG }
    send(1)
    send(2)
    equal(sent(), {})
    tick()
    equal(sent(), { "n value=1 1\nn value=2 1\n" })
    tick()
    equal(sent(), {})
end)

test("sends a batch of so many messages", function()
    script{ config = { tag_fields = "**none**", timestamp_precision = "s", decimal_precision = "0", flush_count = 2 } }
    send(1)
    equal(sent(), {})
    send(2)
    equal(#sent(), 1)
end)

test("sends a batch of so many bytes", function()
    script{ config = { tag_fields = "**none**", flush_bytes = 1 } }
    send(1)
    equal(#sent(), 1)
end)

test("keeps the batch over a restart", function()
    script{ config = CONFIG }
    send(1)
    reload()
    tick()
    equal(sent(), { "n value=1 1\n" })
end)

test("passes over messages without fields", function()
    script{ config = CONFIG }
    equal((feed{ Type = "x" }), 0)
    tick()
    equal(sent(), {})
end)
