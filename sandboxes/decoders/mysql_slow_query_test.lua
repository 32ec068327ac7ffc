local ENTRY = [[
# User@Host: syncrw[syncrw] @  [127.0.0.1]
# Query_time: 2.964652  Lock_time: 0.000050 Rows_sent: 251  Rows_examined: 9773
use widget;
SET last_insert_id=999,insert_id=1000,timestamp=1399500744;
/* [queryName=FIND_ITEMS] */ SELECT *
FROM widget
WHERE id = 10;
]]

test("reads an entry", function()
    equal(feed(ENTRY), 0)
    local m = injected()[1]
    equal({ m.Type, m.Timestamp }, { "mysql.slow-query", 1399500744000000000 })
    equal(m.Payload, "/* [queryName=FIND_ITEMS] */ SELECT *\nFROM widget\nWHERE id = 10;")
    equal(m.Fields, { Query_time = 2.964652, Lock_time = 0.00005, Rows_sent = 251, Rows_examined = 9773, Schema = "widget", User = "syncrw", Host = "127.0.0.1" })
    equal(m.Representations.Query_time, "s")
end)

test("reads what Percona adds, and the time line", function()
    feed("# Time: 2024-01-02T03:04:05.5Z\n# User@Host: a[a] @ db1 [10.0.0.1]  Id: 7\n# Schema: shop  Last_errno: 0  Killed: 0\n"
        .. "# Query_time: 0.1  Lock_time: 0  Rows_sent: 1  Rows_examined: 1\n# QC_Hit: No  Full_scan: Yes\nSELECT 1;\n")
    local m = injected()[1]
    equal({ m.Timestamp, m.Fields.Full_scan, m.Fields.QC_Hit, m.Fields.Schema, m.Fields.Host }, { 1704164645500000000, true, false, "shop", "db1" })
end)

test("statements are cut when asked for", function()
    script{ config = { truncate_sql = 8 } }
    feed(ENTRY)
    equal(injected()[1].Payload, "/* [quer...")
end)

test("anything else is refused", function()
    equal(feed("Tcp port: 3306  Unix socket: /tmp/mysql.sock"), -1)
end)
