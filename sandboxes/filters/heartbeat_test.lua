local function beat(host)
    feed{ Type = "heartbeat", Hostname = host, Timestamp = now() }
end

-- Alerts since the last look, and the last state of the hosts.
local function look()
    local alerts, state = {}, nil
    for _, m in ipairs(injected()) do
        if m.Fields.payload_type == "alert" then
            alerts[#alerts + 1] = m.Payload
        else
            equal(m.Fields.payload_name, "heartbeat")
            state = m.Payload
        end
    end
    return alerts, state
end

test("alerts for hosts that fall silent, again after the throttle", function()
    beat("a")
    beat("b")
    advance("30s")
    local alerts, state = look()
    equal(alerts, {})
    matches(state, '"status":"up"')
    advance("30s")
    alerts, state = look()
    equal(alerts, { "Missing Heartbeat - a\nMissing Heartbeat - b" })
    matches(state, '"status":"down"')
    advance("270s")
    equal(#look(), 0)
    advance("60s")
    equal(#look(), 1)
end)

test("tells when a host is back", function()
    beat("a")
    advance("60s")
    equal(look(), { "Missing Heartbeat - a" })
    beat("a")
    advance("30s")
    equal(look(), { "Heartbeat is back - a" })
    script{ config = { recovery = false } }
    beat("a")
    advance("60s")
    beat("a")
    advance("30s")
    equal(look(), { "Missing Heartbeat - a" })
end)

test("an old message brings no host back, and reloading forgets none", function()
    beat("a")
    advance("60s")
    look()
    feed{ Type = "heartbeat", Hostname = "a", Timestamp = now() - 3600 * 1000000000 }
    reload()
    advance("30s")
    local alerts, state = look()
    equal(alerts, {})
    matches(state, '"a":{[^}]*"status":"down"')
end)

test("hosts long gone are dropped", function()
    script{ config = { forget = "1h" } }
    beat("a")
    advance("2h")
    local _, state = look()
    equal(state, "{}")
end)
