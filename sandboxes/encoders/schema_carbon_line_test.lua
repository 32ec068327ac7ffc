local MESSAGE = {
    Timestamp = 1434932023000000000, Type = "stats.loadavg", Hostname = "myhost",
    Fields = { ["1MinAvg"] = 0.12, Environment = "dev" },
}

test("writes numbers", function()
    script{ config = { name_prefix = "%{Environment}.%{Hostname}.%{Type}" } }
    feed(MESSAGE)
    equal(encoded(), "dev.myhost.stats.loadavg.1MinAvg 0.12 1434932023\n")
end)

test("writes a name without a prefix", function()
    feed{ Timestamp = 1000000000, Fields = { ["disk.free"] = -7 } }
    equal(encoded(), "disk_free -7 1\n")
end)

test("writes all values of a field", function()
    feed{ Timestamp = 1000000000, Fields = { n = { 1, 2, 3 } } }
    equal(encoded(), "n 1 1\nn_vidx_1 2 1\nn_vidx_2 3 1\n")
end)

test("writes one field under its own name", function()
    script{ config = { name_prefix = "load.%{Hostname}", source_value_field = "1MinAvg" } }
    feed(MESSAGE)
    equal(encoded(), "load.myhost 0.12 1434932023\n")
end)

test("writes nothing when there are no numbers", function()
    script{ config = { skip_fields = "1MinAvg" } }
    equal((feed(MESSAGE)), -2)
end)
