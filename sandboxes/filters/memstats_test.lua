test("shows memory and what is used of the swap", function()
    script{ config = { rows = 2 } }
    feed{
        Type = "stats.memstats",
        Timestamp = now(),
        Fields = { MemFree = 100, Cached = 200, Active = 3, Inactive = 4, Shmem = 6, SwapCached = 7, SwapFree = 800, SwapTotal = 1000 },
    }
    advance("60s")
    local payload = injected()[1].Payload
    matches(payload, '"name":"MemFree","unit":"KiB","aggregation":"max"')
    matches(payload, "\n100\t200\t3\t4\tnan\t6\t7\t800\t200\n$")
end)

test("a message without any of it is refused", function()
    equal(feed{ Type = "stats.memstats", Fields = { other = 1 } }, -1)
end)

test("full graphs fit the default output limit", function()
    local most = { MemFree = 0, Cached = 0, Active = 0, Inactive = 0, VmallocUsed = 0, Shmem = 0, SwapCached = 0, SwapFree = 0, SwapTotal = 999999999 }
    for name in pairs(most) do
        most[name] = 999999999
    end
    most.SwapFree = 999999999 - 123456789
    local start = now() - 480 * 60 * 1000000000
    for minute = 1, 480 do
        feed{ Type = "stats.memstats", Timestamp = start + minute * 60 * 1000000000, Fields = most }
    end
    tick()
    equal(#injected(), 1)
end)
