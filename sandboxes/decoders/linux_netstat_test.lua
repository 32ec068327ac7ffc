test("names and values meet", function()
    equal(feed("TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 0 7\nIpExt: InNoRoutes InOctets\nIpExt: 1 -5\n"), 0)
    equal(injected()[1].Fields, { TcpExt_SyncookiesSent = 0, TcpExt_SyncookiesRecv = 7, IpExt_InNoRoutes = 1, IpExt_InOctets = -5 })
end)

test("anything else is refused", function()
    equal(feed("nonsense"), -1)
end)
