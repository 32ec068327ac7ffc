local COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
local LINE = '127.0.0.1 - frank [10/Oct/2023:13:55:36 -0700] "GET /a.gif?x=1 HTTP/1.0" 200 2326 "http://example.com/" '
    .. '"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/118.0"'

test("reads the combined format", function()
    script{ config = { log_format = COMBINED } }
    equal(feed(LINE), 0)
    local m = injected()[1]
    equal(m.Type, "nginx.access")
    equal(m.Timestamp, 1696971336000000000)
    equal(m.Payload, nil)
    equal(m.Fields, {
        remote_addr = "127.0.0.1", remote_user = "frank", request = "GET /a.gif?x=1 HTTP/1.0", status = 200, body_bytes_sent = 2326,
        http_referer = "http://example.com/", http_user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/118.0",
    })
    equal({ m.Representations.remote_addr, m.Representations.body_bytes_sent }, { "ipv4", "B" })
end)

test("keeps the line and takes the user agent apart when asked for", function()
    script{ config = { log_format = COMBINED, payload_keep = true, user_agent_transform = true } }
    feed(LINE)
    local m = injected()[1]
    equal(m.Payload, LINE)
    equal({ m.Fields.user_agent_browser, m.Fields.user_agent_version, m.Fields.user_agent_os, m.Fields.http_user_agent }, { "Firefox", 118, "Linux" })
end)

test("an agent that is not understood stays on condition", function()
    script{ config = { log_format = COMBINED, user_agent_transform = true, user_agent_conditional = true } }
    feed('1.2.3.4 - - [10/Oct/2023:13:55:36 -0700] "GET / HTTP/1.0" 200 - "-" "my own thing"')
    local f = injected()[1].Fields
    equal({ f.http_user_agent, f.body_bytes_sent }, { "my own thing" })
end)

test("times, upstreams and escapes", function()
    script{ config = { log_format = '$msec $request_time $upstream_response_time ${server_name} "$request"' } }
    feed('1696971336.250 0.012 0.010, 0.002 www.example.com "GET /\\x22q\\x22 HTTP/1.1"')
    local m = injected()[1]
    equal(m.Timestamp, 1696971336250000000)
    equal(m.Fields.upstream_response_time, { 0.010, 0.002 })
    equal(m.Fields.request, 'GET /"q" HTTP/1.1')
    equal(m.Fields.server_name, "www.example.com")
    feed('1696971336.250 0.012 - www.example.com "GET / HTTP/1.1"')
    equal(injected()[1].Fields.upstream_response_time, nil)
end)

test("another line is refused", function()
    script{ config = { log_format = COMBINED } }
    local status, why = feed("nonsense")
    equal({ status, why }, { -1, "the line does not fit log_format" })
end)

test("a format is required", function()
    matches(fails(function() script{} end), "log_format")
end)
