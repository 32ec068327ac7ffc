local function load(one, processes)
    return feed{
        Type = "stats.loadavg",
        Timestamp = now(),
        Fields = { ["1MinAvg"] = one, ["5MinAvg"] = 0.5, ["15MinAvg"] = 0.25, NumProcesses = processes },
    }
end

test("shows the largest of each interval", function()
    script{ config = { rows = 2 } }
    load(1.5, 100)
    load(3.25, 90)
    load(2, 95)
    advance("60s")
    local out = injected()
    equal(out[1].Fields.payload_name, "LoadAvg Stats")
    matches(out[1].Payload, '"name":"15MinAvg","unit":"count","aggregation":"max"')
    matches(out[1].Payload, "\n3%.25\t0%.5\t0%.25\t100\n$")
end)

test("a message that lacks a field changes nothing", function()
    local status, why = feed{ Type = "stats.loadavg", Timestamp = now(), Fields = { ["1MinAvg"] = 1 } }
    equal(status, -1)
    matches(why, "5MinAvg")
    tick()
    expect(not injected()[1].Payload:find("\n1\t"), "the first field was taken")
end)
