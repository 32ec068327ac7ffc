local SECOND = 1000000000

local function visit(key, path, seconds)
    return feed{ Timestamp = now() + (seconds or 0) * SECOND, Fields = { remote_addr = key, request = path } }
end

test("a pause ends a session", function()
    script{ config = { idle_seconds = 60 }, max_timer_inject = 200 }
    visit("a", "/in")
    visit("a", "/middle", 10)
    visit("a", "/out", 30)
    advance("50s")
    equal(#injected(), 0)
    advance("60s")
    local out = injected()
    equal(#out, 1)
    local f = out[1].Fields
    equal({ f.key, f.messages, f.duration, f.entry, f.exit, f.reason }, { "a", 3, 30, "/in", "/out", "idle" })
end)

test("a message after the pause begins another session at once", function()
    script{ config = { idle_seconds = 60 } }
    visit("a", "/one")
    visit("a", "/two", 100)
    local out = injected()
    equal(#out, 1)
    equal(out[1].Fields.exit, "/one")
end)

test("beyond the limit the longest idle one is closed", function()
    script{ config = { max_sessions = 2 } }
    visit("a", "/", 0)
    visit("b", "/", 1)
    visit("c", "/", 2)
    local out = injected()
    equal({ #out, out[1].Fields.key, out[1].Fields.reason }, { 1, "a", "too many" })
end)

test("open sessions go on after a reload", function()
    script{ config = { idle_seconds = 60 }, max_timer_inject = 200 }
    visit("a", "/one")
    reload()
    visit("a", "/two", 10)
    advance("2m")
    equal(injected()[1].Fields.messages, 2)
end)

test("no key, no session", function()
    equal(feed{ Fields = { other = 1 } }, -1)
end)
