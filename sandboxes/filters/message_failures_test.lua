local function reject(plugin, reason, times)
    for i = 1, times do
        feed{ Type = "nilometer.reject", Payload = "record " .. i, Fields = { plugin = plugin, reason = reason .. i } }
    end
end

test("tells who rejects much, why, and a record", function()
    reject("input.app", "no JSON at column ", 12)
    reject("input.app", "too long ", 3)
    reject("input.web", "no fit ", 2)
    advance("60s")
    local out = injected()
    equal(#out, 1)
    equal(out[1].Payload, "input.app: 15 rejects, 12 of them: no JSON at column #\n  such as: record 1")
    equal(out[1].Fields.payload_type, "alert")
end)

test("a few are no alarm, and counts begin anew", function()
    for _ = 1, 3 do
        reject("input.app", "x", 5)
        advance("60s")
    end
    equal(#injected(), 0)
end)

test("reasons are bounded", function()
    script{ config = { reasons = 1, limit = 1 } }
    feed{ Fields = { plugin = "p", reason = "a" } }
    feed{ Fields = { plugin = "p", reason = "b" } }
    feed{ Fields = { plugin = "p", reason = "c" } }
    advance("60s")
    matches(injected()[1].Payload, "3 rejects, 2 of them: %(other%)")
end)
