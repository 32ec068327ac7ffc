test("reads the averages", function()
    equal(feed("0.20 0.18 0.12 1/80 11206\n"), 0)
    local m = injected()[1]
    equal(m.Type, "stats.loadavg")
    equal(m.Fields, { ["1MinAvg"] = 0.2, ["5MinAvg"] = 0.18, ["15MinAvg"] = 0.12, NumRunning = 1, NumProcesses = 80 })
end)

test("anything else is refused", function()
    equal(feed("nonsense"), -1)
end)
