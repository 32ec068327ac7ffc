local function reading(cpu, ctxt, host)
    return feed{
        Type = "stats.procstat",
        Hostname = host or "a",
        Timestamp = now(),
        Fields = { cpu = cpu, cpu0 = cpu, ctxt = ctxt, softirq = { ctxt, 2 * ctxt }, intr = { ctxt, 1 } },
    }
end

local function last_fields()
    local out = injected()
    return out[#out] and out[#out].Fields
end

test("shares of time between two readings", function()
    reading({ 100, 0, 50, 1000 }, 5)
    equal(#injected(), 0)
    reading({ 130, 0, 70, 1150 }, 9)
    equal(last_fields(), { cpu_percent = 25, cpu0_percent = 25 })
    reading({ 130, 0, 70, 1150 }, 9)
    equal(#injected(), 0)
end)

test("the time of guests counts once", function()
    reading({ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 5)
    reading({ 50, 0, 0, 50, 0, 0, 0, 0, 50, 0 }, 5)
    equal(last_fields().cpu_percent, 50)
end)

test("everything, exactly, of what is asked for", function()
    script{ config = { extras = true, percent_integer = false, whitelist = "^c[pt][ux]t?$" } }
    reading({ 100, 0, 50, 1000 }, 5)
    reading({ 130, 10, 60, 1150 }, 9)
    equal(last_fields(), {
        cpu_delta_user = 30, cpu_delta_nice = 10, cpu_delta_system = 10, cpu_delta_idle = 150, cpu_delta_ticks = 200,
        cpu_percent = 0.25, cpu_percent_user = 0.15, cpu_percent_nice = 0.05, cpu_percent_system = 0.05, cpu_percent_idle = 0.75,
        ctxt_delta = 4,
    })
end)

test("lists of counters by place, without the interrupts", function()
    script{ config = { extras = true } }
    reading({ 100, 0, 50, 1000 }, 5)
    reading({ 130, 10, 60, 1150 }, 9)
    local fields = last_fields()
    equal(fields.softirq_delta_1, 4)
    equal(fields.softirq_delta_2, 8)
    equal(fields.intr_delta_1, nil)
end)

test("hosts are told apart, and readings carried over", function()
    reading({ 100, 0, 50, 1000 }, 5, "a")
    reading({ 0, 0, 0, 0 }, 5, "b")
    reload()
    reading({ 130, 0, 70, 1150 }, 9, "a")
    equal(last_fields().cpu_percent, 25)
end)
