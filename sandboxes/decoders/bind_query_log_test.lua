test("reads a query", function()
    equal(feed("27-May-2014 21:06:49.246 queries: info: client 10.0.1.70#41242 (webserver.company.com): query: webserver.company.com IN A +E (10.0.1.71)"), 0)
    local m = injected()[1]
    equal(m.Timestamp, 1401224809246000000)
    equal(m.Fields, {
        ClientIP = "10.0.1.70", ClientPort = 41242, QueryName = "webserver.company.com", Query = "webserver.company.com", RecordClass = "IN", RecordType = "A",
        QueryFlags = "+E", ServerIP = "10.0.1.71", QueryLabels = { "webserver", "company", "com" },
    })
    equal(m.Representations.ClientIP, "ipv4")
end)

test("reads what newer versions write", function()
    equal(feed("client @0x7f1c2c0a3b10 2001:db8::1#53 (example.org): view internal: query: example.org IN AAAA -E(0)DC (192.0.2.1) [ECS 0]"), 0)
    local f = injected()[1].Fields
    equal({ f.ClientIP, f.View, f.RecordType, f.QueryFlags }, { "2001:db8::1", "internal", "AAAA", "-E(0)DC" })
end)

test("another line is refused", function()
    equal(feed("nonsense"), -1)
end)
