test("reads the traditional file format", function()
    equal(feed("Jan  5 03:04:05 web1 sshd[411]: Accepted publickey for ann"), 0)
    local m = injected()[1]
    equal({ m.Type, m.Hostname, m.Pid, m.Payload, m.Fields.programname }, { "rsyslog", "web1", 411, "Accepted publickey for ann", "sshd" })
    matches(os.date("!%m-%d %H:%M:%S", m.Timestamp // 1000000000), "^01%-05 03:04:05$")
end)

test("reads other templates", function()
    script{ config = { template = '<%PRI%>%TIMESTAMP:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg%\\n', hostname_keep = true } }
    equal(feed("<165>2024-01-05T03:04:05.250+01:00 10.0.0.7 app: it works"), 0)
    local m = injected()[1]
    equal({ m.Timestamp, m.Severity, m.Fields.syslogfacility, m.Fields.hostname, m.Payload }, { 1704420245250000000, 5, 20, "10.0.0.7", "it works" })
end)

test("severity and facility by name", function()
    script{ config = { template = "%syslogfacility-text%.%syslogseverity-text% %msg%" } }
    feed("daemon.warning hot")
    local m = injected()[1]
    equal({ m.Severity, m.Fields.syslogfacility, m.Payload }, { 4, 3, "hot" })
end)

test("another line is refused", function()
    equal(feed("nonsense"), -1)
end)

test("a template that does not end is named", function()
    matches(fails(function() script{ config = { template = "%msg" } } end), "does not end")
end)
