local MESSAGE = {
    Timestamp = 1434932024000000000, Type = "stats.loadavg", Hostname = "my host", Severity = 6,
    Fields = { ["5MinAvg"] = 0.11, Environment = "dev" },
}

test("writes fields with tags", function()
    script{ config = { skip_fields = "**all_base** Environment", tag_fields = "Hostname Environment", timestamp_precision = "s" } }
    feed(MESSAGE)
    equal(encoded(), "5MinAvg,Hostname=my\\ host,Environment=dev value=0.110000 1434932024\n")
end)

test("writes one line for all fields", function()
    script{ config = { name_prefix = "cpu", multi_fields = true, tag_fields = "**none**", skip_fields = "Environment", decimal_precision = "2" } }
    feed(MESSAGE)
    equal(encoded(), "cpu 5MinAvg=0.11 1434932024000\n")
end)

test("writes text and booleans", function()
    script{ config = { tag_fields = "**none**", timestamp_precision = "s" } }
    feed{ Timestamp = 1000000000, Fields = { up = true } }
    equal(encoded(), "up value=true 1\n")
    feed{ Timestamp = 1000000000, Fields = { note = 'say "hi"' } }
    equal(encoded(), 'note value="say \\"hi\\"" 1\n')
end)

test("writes nothing without fields", function()
    equal((feed{ Type = "x" }), -2)
end)

test("says which options do not fit", function()
    local why = fails(function()
        script{ config = { multi_fields = true } }
        feed(MESSAGE)
    end)
    matches(why, "need a name_prefix")
    why = fails(function()
        script{ config = { timestamp_precision = "d" } }
        feed(MESSAGE)
    end)
    matches(why, "h, m, s, ms, us or ns expected")
end)
