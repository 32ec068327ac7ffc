test("reads the counters", function()
    equal(feed("cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5 1 2 3\nctxt 99\nbtime 1700000000\nprocesses 3\nprocs_running 1\nprocs_blocked 0\n"), 0)
    local f = injected()[1].Fields
    equal({ f.cpu_user, f.cpu_idle, f.cpu0_guest_nice, f.ctxt, f.btime, f.intr }, { 10, 40, 10, 99, 1700000000 })
end)

test("anything else is refused", function()
    equal(feed("nonsense!"), -1)
end)
