local function interval(count)
    for _ = 1, count do
        feed{ Type = "login" }
    end
    advance("10s")
end

local function usual()
    for i = 1, 20 do
        interval(100 + i % 5)
    end
end

test("the usual is no alarm", function()
    usual()
    equal(#injected(), 0)
end)

test("a spike alarms once, and the return is told", function()
    usual()
    interval(400)
    interval(400)
    local out = injected()
    equal(#out, 1)
    equal({ out[1].Fields.direction, out[1].Fields.count }, { "up", 400 })
    matches(out[1].Payload, "^400 messages in this interval, usual are 10")
    interval(101)
    equal(injected()[1].Fields.unusual, false)
end)

test("silence alarms", function()
    usual()
    interval(0)
    equal(injected()[1].Fields.direction, "down")
end)

test("small numbers that vary do not", function()
    for i = 1, 40 do
        interval(i % 7)
    end
    equal(#injected(), 0)
end)
