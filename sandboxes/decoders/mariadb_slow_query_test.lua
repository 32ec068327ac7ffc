test("reads an entry", function()
    equal(feed("# User@Host: root[root] @ localhost []\n# Thread_id: 110  Schema: shop  QC_hit: No\n"
        .. "# Query_time: 1.5  Lock_time: 0.000050  Rows_sent: 1  Rows_examined: 1000\n# Full_scan: Yes  Full_join: No  Tmp_table: No\n"
        .. "SET timestamp=1399500744;\nSELECT COUNT(*) FROM t;\n"), 0)
    local m = injected()[1]
    equal({ m.Type, m.Timestamp, m.Payload }, { "mariadb.slow-query", 1399500744000000000, "SELECT COUNT(*) FROM t;" })
    local f = m.Fields
    equal({ f.Thread_id, f.Schema, f.QC_hit, f.Query_time, f.Full_scan, f.User, f.Host }, { 110, "shop", false, 1.5, true, "root", "localhost" })
end)

test("anything else is refused", function()
    equal(feed("nonsense"), -1)
end)
