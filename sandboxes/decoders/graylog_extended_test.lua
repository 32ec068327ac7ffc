test("reads a message", function()
    equal(feed('{"version":"1.1","host":"web1","short_message":"it broke","full_message":"at line 1","timestamp":1385053862.307,"level":1,"_user_id":9001,"_ok":true}'), 0)
    local m = injected()[1]
    equal({ m.Type, m.Hostname, m.Severity, m.Timestamp, m.Payload }, { "graylog", "web1", 1, 1385053862307000000, "it broke" })
    equal(m.Fields, { full_message = "at line 1", user_id = 9001, ok = true })
end)

test("what is no GELF is refused", function()
    equal(feed("{"), -1)
    equal(feed('{"host":"x"}'), -1)
    equal(feed("[1]"), -1)
end)
