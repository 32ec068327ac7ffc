test("flattens", function()
    equal(feed('{"a":1,"b":{"c":"x","d":[1,2],"e":[{"f":true}]},"n":null}'), 0)
    local m = injected()[1]
    equal(m.Type, "json")
    equal(m.Fields, { a = 1, ["b.c"] = "x", ["b.d"] = { 1, 2 }, ["b.e.1.f"] = true })
end)

test("maps keys to headers", function()
    script{ config = { map_fields = true, Timestamp = "ts", Severity = "level", Payload = "log.msg", Type = "kind" } }
    feed('{"ts":"2024-01-02T03:04:05Z","level":"3","log":{"msg":"hi"},"kind":"app","x":1}')
    local m = injected()[1]
    equal({ m.Timestamp, m.Severity, m.Payload, m.Type }, { 1704164645000000000, 3, "hi", "app" })
    equal(m.Fields, { x = 1 })
end)

test("reads times as told", function()
    script{ config = { map_fields = true, Timestamp = "t", timestamp_format = "%d/%m/%Y %H:%M" } }
    feed('{"t":"02/01/2024 03:04"}')
    equal(injected()[1].Timestamp, 1704164640000000000)
    local status, why = feed('{"t":"soon"}')
    equal(status, -1)
    matches(why, "the time in 't'")
end)

test("depth is bounded when asked for", function()
    script{ config = { maximum_depth = 1, separator = "_" } }
    feed('{"a":{"b":{"c":1}}}')
    equal(injected()[1].Fields, { a = '{"b":{"c":1}}' })
end)

test("anything else is refused", function()
    equal(feed("{"), -1)
    equal(feed("17"), -1)
end)
