local function requests(count, bad)
    for i = 1, count do
        feed{ Type = "nginx.access", Timestamp = now(), Fields = { status = i <= bad and 503 or 200 } }
    end
end

local function alarms()
    local found = {}
    for _, m in ipairs(injected()) do
        if m.Type == "heka.sandbox.slo" then
            found[#found + 1] = m
        end
    end
    return found
end

test("alarms once while the budget burns, and tells when it is over", function()
    for _ = 1, 10 do
        requests(100, 10)
        advance("60s")
    end
    local found = alarms()
    equal(#found, 1)
    equal(found[1].Fields.burning, true)
    equal(found[1].Severity, 2)
    matches(found[1].Payload, "burns too fast: burn rate 100%.0 over 60 minutes")
    for _ = 1, 10 do
        requests(100, 0)
        advance("60s")
    end
    found = alarms()
    equal(#found, 1)
    equal(found[1].Fields.burning, false)
end)

test("few errors are within the budget", function()
    for _ = 1, 10 do
        requests(1000, 1)
        advance("60s")
    end
    equal(#alarms(), 0)
end)

test("silence is no error", function()
    advance("10m")
    equal(#alarms(), 0)
end)

test("an objective of one is refused", function()
    matches(fails(function() script{ config = { objective = 1 } } end), "objective is a share below 1")
end)
