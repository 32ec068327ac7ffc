local COMBINED = '%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\"'
local LINE = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "curl/7.64.1"'

test("reads the combined format", function()
    script{ config = { log_format = COMBINED } }
    equal(feed(LINE), 0)
    local m = injected()[1]
    equal({ m.Type, m.Timestamp }, { "apache.access", 971211336000000000 })
    equal(m.Fields, {
        remote_addr = "127.0.0.1", remote_ident = "-", remote_user = "frank", request = "GET /apache_pb.gif HTTP/1.0", status = 200, bytes_sent = 2326,
        http_referer = "http://www.example.com/start.html", http_user_agent = "curl/7.64.1",
    })
end)

test("other directives", function()
    script{ config = { log_format = '%v:%p %{%Y-%m-%dT%H:%M:%S%z}t %D %{ms}T 100%% %400,501{X-Id}i %{sid}C' } }
    equal(feed("www.example.com:443 2024-01-02T03:04:05+0100 1500 1 100% abc def"), 0)
    local m = injected()[1]
    equal(m.Timestamp, 1704161045000000000)
    local f = m.Fields
    equal({ f.server_name, f.server_port, f.http_x_id, f.cookie_sid }, { "www.example.com", 443, "abc", "def" })
end)

test("an unknown directive is named", function()
    matches(fails(function() script{ config = { log_format = "%h %Q" } } end), "%%Q is not known")
end)
