//! The grammars written in Lua: date_time, ip_address, common_log_format, syslog, mysql, bind, uri, and user_agent.

use crate::support::{error_of, passes};

/// Defines `same(got, wanted)`, which compares tables as well.
const SAME: &str = r##"
    local function text(v)
        if type(v) ~= "table" then return tostring(v) end
        local parts = {}
        for k, x in pairs(v) do parts[#parts + 1] = tostring(k) .. "=" .. text(x) end
        table.sort(parts)
        return "{" .. table.concat(parts, " ") .. "}"
    end
    local function same(got, wanted) if text(got) ~= text(wanted) then error("got " .. text(got) .. ", wanted " .. text(wanted), 2) end end
"##;

fn holds(source: &str) {
    passes(&format!("{SAME}{source}"));
}

#[test]
fn times_of_many_kinds_are_nanoseconds() {
    holds(
        r##"
        local dt = require "date_time"
        local function ns(grammar, line) return (grammar / dt.time_to_ns):match(line) end
        same(ns(dt.rfc3339, "1999-05-05T23:23:59.217-07:00"), 925971839217000000)
        same(ns(dt.rfc3339, "1970-01-01T00:00:00Z"), 0)
        same(ns(dt.rfc3339, "2024-02-29t12:00:00.123456789+05:30"), 1709188200123456789)
        same(ns(dt.clf_timestamp, "10/Feb/2014:08:46:41 -0800"), 1392050801000000000)
        same(ns(dt.mysql_timestamp, "20240102030405"), 1704164645000000000)
        same(ns(dt.mysql_timestamp, "240102  3:04:05"), 1704164645000000000)
        same(ns(dt.pgsql_timestamp, "2024-01-02 03:04:05.5 UTC"), 1704164645500000000)
        -- no year: that of now (2023-11-14 here), or the one before where that lies ahead
        same(ns(dt.rfc3164_timestamp, "Nov  4 03:04:05"), 1699067045000000000)
        same(ns(dt.rfc3164_timestamp, "Dec 24 03:04:05"), 1671851045000000000)
        same(dt.rfc3339:match("1999-13-05T23:23:59Z"), nil)
        same(dt.rfc3339:match("1999-12-05 24:23:59Z"), nil)
        same({ dt.seconds_to_ns("1.25"), dt.seconds_to_ns("-1.25"), dt.seconds_to_ns(3), dt.milliseconds_to_ns("1500") },
            { 1250000000, -1250000000, 3000000000, 1500000000 })
        same(ns(require "lpeg".Ct(dt.date_fullyear * "-" * dt.date_month * "-" * dt.date_mday), "2024-01-02"), 1704153600000000000)
    "##,
    );
}

#[test]
fn formats_of_strftime_become_grammars() {
    holds(
        r##"
        local dt = require "date_time"
        local function ns(format, line) return (dt.build_strftime_grammar(format) / dt.time_to_ns):match(line) end
        same(ns("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:05"), 1704164645000000000)
        same(ns("%F %T.%f%z", "2024-01-02 03:04:05.25+0100"), 1704161045250000000)
        same(ns("%a, %d %b %Y %T %Z", "Tue, 02 Jan 2024 03:04:05 GMT"), 1704164645000000000)
        same(ns("%D %r", "01/02/24 03:04:05 PM"), 1704207845000000000)
        same(ns("%D %r", "01/02/24 12:04:05 AM"), 1704153845000000000)
        same(ns("%d%%%B", "02%January") ~= nil, true)
        same(ns("%d-%b-%Y", "2-Jan-2024"), nil)
    "##,
    );
    assert!(error_of("require 'date_time'.build_strftime_grammar('%d %Q')").contains("%Q is not supported in '%d %Q'"));
}

#[test]
fn addresses_are_told_from_names() {
    holds(
        r##"
        local ip = require "ip_address"
        local function whole(pattern, text) return (pattern * -1):match(text) ~= nil end
        for _, good in ipairs{ "0.0.0.0", "255.255.255.255", "10.0.1.70" } do same(whole(ip.v4, good), true) end
        for _, bad in ipairs{ "256.1.1.1", "1.2.3", "1.2.3.4.5" } do same(whole(ip.v4, bad), false) end
        for _, good in ipairs{ "::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:10.0.0.1", "fe80::1:2:3:4", "1::8", "1:2:3:4:5:6:7::" } do
            same({ good, whole(ip.v6, good) }, { good, true })
        end
        for _, bad in ipairs{ "1:2:3:4:5:6:7", "1::2::3", ":1", "12345::" } do same({ bad, whole(ip.v6, bad) }, { bad, false }) end
        same(ip.host_field:match("10.0.0.1"), { value = "10.0.0.1", representation = "ipv4" })
        same(ip.host_field:match("2001:db8::1"), { value = "2001:db8::1", representation = "ipv6" })
        same(ip.host_field:match("10.example.com"), { value = "10.example.com", representation = "hostname" })
    "##,
    );
}

#[test]
fn formats_of_web_servers_become_grammars() {
    holds(
        r##"
        local clf = require "common_log_format"
        local g = clf.build_nginx_grammar('$remote_addr [$time_local] "$request" ${status} $body_bytes_sent $request_time')
        same(g:match('::1 [10/Feb/2014:08:46:41 -0800] "GET /\\x22 HTTP/1.1" 304 12 0.005'), { remote_addr = { value = "::1", representation = "ipv6" },
            time = 1392050801000000000, request = 'GET /" HTTP/1.1', status = 304, body_bytes_sent = { value = 12, representation = "B" },
            request_time = { value = 0.005, representation = "s" } })
        same(g:match("nonsense"), nil)
        g = clf.build_apache_grammar('%{%Y-%m-%d}t %{c}a %400,501{X-Id}i %{Sum}^ti 100%% %>s')
        same(g:match("2024-01-02 10.0.0.1 id - 100% 200"), { time = 1704153600000000000, remote_addr = { value = "10.0.0.1", representation = "ipv4" },
            http_x_id = "id", trailer_sum = "-", status = 200 })
        same(clf.nginx_error_grammar:match('2014/01/10 07:04:56 [notice] 16842#0: *8878 using inherited sockets'), { time = 1389337496000000000,
            Timestamp = 1389337496000000000, Severity = 5, Pid = 16842, Fields = { tid = 0, connection = 8878 }, Payload = "using inherited sockets" })
        same(clf.nginx_error_grammar:match("2014/01/10 07:04:56 [oops] 1#0: x"), nil)
    "##,
    );
    for (format, why) in
        [("%h %", "the % at 4 begins no directive"), ("%{Referer", "a { that begins at 2 does not end"), ("%Q", "%Q is not known")]
    {
        let error = error_of(&format!("require 'common_log_format'.build_apache_grammar('{format}')"));
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn templates_of_rsyslog_become_grammars() {
    holds(
        r##"
        local syslog = require "syslog"
        local g = syslog.build_rsyslog_grammar("%pri% %TIMESTAMP:::date-rfc3339% %TIMEGENERATED:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n")
        same(g:match("28 2014-02-10T12:58:58-08:00 2014-02-10T12:58:59-08:00 testhost widget[4322]: test message.\n"), {
            pri = { facility = 3, severity = 4 }, timestamp = 1392065938000000000, timegenerated = 1392065939000000000, hostname = "testhost",
            syslogtag = { programname = "widget", pid = 4322 }, msg = "test message." })
        g = syslog.build_rsyslog_grammar("%syslogfacility-text%.%syslogseverity-text% %timereported:::date-unixtimestamp% %msg%")
        same(g:match("local7.error 5 x y"), { ["syslogfacility-text"] = 23, ["syslogseverity-text"] = 3, timestamp = 5000000000, msg = "x y" })
        same(g:match("local8.error 5 x"), nil)
        same(syslog.severity:match("informational"), 6)
    "##,
    );
}

#[test]
fn entries_of_slow_query_logs_become_messages() {
    holds(
        r##"
        local mysql = require "mysql"
        local statistics = "# Query_time: 2.964652  Lock_time: 0.000050 Rows_sent: 251  Rows_examined: 9773\nuse widget;\nSET last_insert_id=9,timestamp=1399500744;\n"
        local fields = { Query_time = { value = 2.964652, representation = "s" }, Lock_time = { value = 0.00005, representation = "s" },
            Rows_sent = 251, Rows_examined = 9773, Schema = "widget" }
        local entry = mysql.short_slow_query_grammar:match(statistics .. "SELECT 1;\n")
        same(entry, { Timestamp = 1399500744000000000, Fields = fields, Payload = "SELECT 1;" })
        same(mysql.slow_query_grammar:match(statistics .. "SELECT 1;\n"), nil)
        local user = "# User@Host: syncrw[syncrw] @  [127.0.0.1]\n"
        entry = mysql.slow_query_grammar:match(user .. statistics .. "# administrator command: Ping;\nSELECT 1;\n")
        fields.User, fields.Host = "syncrw", "127.0.0.1"
        same(entry, { Timestamp = 1399500744000000000, Hostname = "127.0.0.1", Fields = fields, Payload = "SELECT 1;" })
        -- An entry that is the command alone.
        same(mysql.slow_query_grammar:match(user .. statistics .. "# administrator command: Quit;\n").Payload, "# administrator command: Quit;")
    "##,
    );
}

#[test]
fn queries_to_bind_are_taken_apart_in_two_ways() {
    holds(
        r##"
        local bind, l = require "bind", require "lpeg"
        local line = "27-May-2015 21:06:49.246 queries: info: client 10.0.1.70#41242 (www.example.com): query: www.example.com IN AAAA -E(0)DC (10.0.1.71)"
        local client, server = { value = "10.0.1.70", representation = "ipv4" }, { value = "10.0.1.71", representation = "ipv4" }
        same(bind.query_log:match(line), { Timestamp = 1432760809246000000, ClientIP = client, ClientPort = 41242, QueryName = "www.example.com",
            Query = "www.example.com", RecordClass = "IN", RecordType = "AAAA", QueryFlags = "-E(0)DC", ServerIP = server })
        same(l.Ct(bind.query_log_grammar):match(line), { Timestamp = 1432760809246000000, ClientIP = client, FullQuery = "www.example.com",
            QueryName = "www", QueryDomain = "example.com", RecordClass = "IN", RecordType = "AAAA", ServerRespondingIP = server,
            QueryFlags = { "recursion not requested", "EDNS used", "DNSSEC data wanted", "no DNSSEC validation check" } })
        same(bind.labels("www.example.com"), { "www", "example", "com" })
    "##,
    );
}

#[test]
fn hindsights_names_of_the_grammars_are_known() {
    passes(
        "assert(require 'lpeg.date_time'.rfc3339:match('2024-01-02T03:04:05Z').year == '2024' and require 'lpeg.syslog'.build_rsyslog_grammar)",
    );
    assert!(error_of("require 'lpeg.bogus'").contains("module 'lpeg.bogus' not found"));
    assert!(error_of("require 'lpeg.lpeg.date_time'").contains("not found"));
}

#[test]
fn uris_and_user_agents_are_taken_apart() {
    holds(
        r##"
        local uri = require "uri"
        same(uri.parse("http://ann@[::1]:8080/a%20b?x=1&y=%41+b#top"), { scheme = "http", userinfo = "ann", host = "::1", port = "8080", path = "/a%20b",
            query = "x=1&y=%41+b", fragment = "top" })
        same(uri.parse("/a?b"), { path = "/a", query = "b" })
        same(uri.parse("http://a b/"), nil)
        same(uri.parse_query("x=1&y=%41+b&z"), { x = "1", y = "A b", z = "" })
        same(uri.unescape(uri.escape("a/b c%")), "a/b c%")
        local function agent(text) return { require "user_agent".normalize(text) } end
        same(agent("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:26.0) Gecko/20100101 Firefox/26.0"), { "Firefox", 26, "Linux" })
        same(agent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0"), { "Edge", 120, "Windows 10" })
        same(#agent("nothing known"), 0)
    "##,
    );
}
