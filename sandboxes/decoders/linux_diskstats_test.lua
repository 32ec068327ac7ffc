test("reads the counters", function()
    equal(feed("   12345 2 3 4 5 6 7 8 9 10 11\n"), 0)
    local m = injected()[1]
    equal({ m.Fields.ReadsCompleted, m.Fields.TimeReading, m.Fields.WeightedTimeDoingIO, m.Fields.DiscardsCompleted }, { 12345, 4, 11 })
    equal(m.Representations.TimeReading, "ms")
end)

test("reads what later kernels append", function()
    equal(feed("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"), 0)
    equal(injected()[1].Fields.FlushesCompleted, 16)
end)

test("anything else is refused", function()
    equal(feed("1 2 3"), -1)
end)
