local function stats(total, host)
    local fields = {}
    for n, name in ipairs{
        "WritesCompleted", "ReadsCompleted", "SectorsWritten", "SectorsRead", "WritesMerged", "ReadsMerged",
        "TimeWriting", "TimeReading", "TimeDoingIO", "WeightedTimeDoingIO",
    } do
        fields[name] = total + n * 1000
    end
    return feed{ Type = "stats.diskstats", Timestamp = now(), Hostname = host or "a", Fields = fields }
end

test("shows by how much totals grow", function()
    script{ config = { rows = 2 } }
    stats(100)
    stats(105)
    stats(107)
    advance("60s")
    local out = injected()
    equal(#out, 2)
    equal(out[1].Fields.payload_name, "Disk Stats")
    matches(out[1].Payload, "\n7\t7\t7\t7\t7\t7\n$")
    equal(out[2].Fields.payload_name, "Time doing IO")
    matches(out[2].Payload, '"unit":"ms"')
    matches(out[2].Payload, "\n7\t7\t7\t7\n$")
end)

test("a reset total and another host count for nothing", function()
    script{ config = { rows = 2 } }
    stats(100)
    stats(2, "b")
    stats(1)
    stats(4)
    stats(5, "b")
    tick()
    matches(injected()[1].Payload, "\n6\t6\t6\t6\t6\t6\n$")
end)

test("totals are carried over", function()
    script{ config = { rows = 2 } }
    stats(100)
    reload()
    stats(101)
    tick()
    matches(injected()[1].Payload, "\n1\t1\t1\t1\t1\t1\n$")
end)

test("a message that lacks a field is refused", function()
    local status, why = feed{ Type = "stats.diskstats", Fields = { WritesCompleted = 1 } }
    equal(status, -1)
    matches(why, "ReadsCompleted")
end)
