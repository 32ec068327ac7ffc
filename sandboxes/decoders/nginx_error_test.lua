test("reads time, level, process and text", function()
    equal(feed('2023/10/10 13:55:36 [error] 16842#17: *8878 open() "/x/favicon.ico" failed (2: No such file or directory), '
        .. 'client: 10.0.0.1, server: example.com, request: "GET /favicon.ico HTTP/1.1", host: "example.com"'), 0)
    local m = injected()[1]
    equal({ m.Type, m.Timestamp, m.Severity, m.Pid }, { "nginx.error", 1696946136000000000, 3, 16842 })
    equal(m.Payload, 'open() "/x/favicon.ico" failed (2: No such file or directory)')
    equal(m.Fields, { tid = 17, connection = 8878, client = "10.0.0.1", server = "example.com", request = "GET /favicon.ico HTTP/1.1", host = "example.com" })
end)

test("an entry without a connection", function()
    feed("2023/10/10 13:55:36 [notice] 1#1: signal process started")
    local m = injected()[1]
    equal({ m.Severity, m.Payload, m.Fields.connection }, { 5, "signal process started" })
end)

test("another line is refused", function()
    equal(feed("nonsense"), -1)
end)
