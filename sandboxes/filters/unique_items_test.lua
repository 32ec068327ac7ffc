local function seen(uid, days_ago)
    return feed{ Type = "request", Timestamp = now() - (days_ago or 0) * 86400 * 1000000000, Fields = { uid = uid } }
end

-- The last two days of the graph.
local function days()
    tick()
    local out = injected()
    return out[1].Payload:match("([^\n]+\n[^\n]+)\n$"), out
end

test("counts different items of a day", function()
    script{ config = { message_variable = "Fields[uid]" } }
    for _ = 1, 3 do
        for uid = 1, 20 do
            seen("user" .. uid)
        end
    end
    local last, out = days()
    equal(last, "nan\n20")
    equal(out[1].Fields.payload_name, "Estimated Unique Daily Fields[uid]")
    matches(out[1].Payload, '"rows":365,"columns":1,"seconds_per_row":86400,"column_info":%[{"name":"uid"')
end)

test("a new day begins at nothing, and old messages do not count", function()
    script{ config = { message_variable = "Fields[uid]", title = "Users" } }
    seen("a")
    seen("b")
    advance("24h")
    injected()
    seen("b")
    seen("z", 1)
    equal((days()), "2\n1")
end)

test("what has been seen is carried over", function()
    script{ config = { message_variable = "Fields[uid]" } }
    seen("a")
    reload()
    seen("a")
    seen(7)
    equal((days()), "nan\n2")
end)

test("tells an aggregator what has changed", function()
    script{ config = { message_variable = "Fields[uid]", enable_delta = true } }
    seen("a")
    seen("b")
    local _, out = days()
    equal(out[2].Fields.payload_type, "cbufd")
    matches(out[2].Payload, "\n%d+\t2\n$")
end)

test("a message without an item is refused", function()
    script{ config = { message_variable = "Fields[uid]" } }
    equal(feed{ Type = "request", Timestamp = now(), Fields = { other = 1 } }, -1)
end)
