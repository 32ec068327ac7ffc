local function query(time, age)
    return feed{
        Type = "mysql.slow-query",
        Timestamp = now() - (age or 0) * 1000000000,
        Fields = { Query_time = time, Lock_time = 0.0005, Rows_examined = 100, Rows_sent = 3 },
    }
end

test("shows means and the number of queries", function()
    script{ config = { rows = 2 } }
    query(1)
    query(2.001)
    query(4, 60)
    query(9, 600) -- older than the graph
    tick()
    local out = injected()
    equal(out[1].Fields.payload_name, "Statistics")
    matches(out[1].Payload, '"name":"Query_Time","unit":"s","aggregation":"none"')
    matches(out[1].Payload, "\n4\t0%.001\t100\t3\t1\n1%.501\t0%.001\t100\t3\t2\n$")
end)

test("a message that lacks a field does not count", function()
    script{ config = { rows = 2 } }
    local status, why = feed{ Type = "mysql.slow-query", Timestamp = now(), Fields = { Query_time = 1 } }
    equal(status, -1)
    matches(why, "Lock_time")
    tick()
    matches(injected()[1].Payload, "\nnan\tnan\tnan\tnan\tnan\n$")
end)

test("means go on after reloading", function()
    script{ config = { rows = 2 } }
    query(1)
    reload()
    query(3)
    tick()
    matches(injected()[1].Payload, "\n2\t0%.001\t100\t3\t2\n$")
end)
