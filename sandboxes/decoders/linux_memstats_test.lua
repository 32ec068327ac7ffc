test("reads and adds up", function()
    equal(feed("MemTotal:        4047616 kB\nMemFree:         3432216 kB\nBuffers:           82028 kB\nCached:           368636 kB\n"
        .. "SwapTotal:       1000 kB\nSwapFree:       900 kB\nActive(anon):    12 kB\nHugePages_Total:       0\n"), 0)
    local m = injected()[1]
    local f = m.Fields
    equal({ f.MemTotal, f.MemUsed, f.SwapUsed, f.Active_anon, f.HugePages_Total }, { 4047616, 164736, 100, 12, 0 })
    equal({ m.Representations.MemFree, m.Representations.HugePages_Total }, { "kB" })
end)

test("anything else is refused", function()
    equal(feed("nonsense"), -1)
end)
