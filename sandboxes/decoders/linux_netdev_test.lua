test("one message a device", function()
    equal(feed("Inter-|   Receive                                                |  Transmit\n"
        .. " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
        .. "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0:100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n"), 0)
    local out = injected()
    equal(#out, 2)
    equal({ out[1].Fields.device, out[1].Fields.rx_bytes, out[2].Fields.device, out[2].Fields.rx_bytes, out[2].Fields.tx_bytes }, { "lo", 1, "eth0", 100, 900 })
end)

test("anything else is refused", function()
    equal(feed("nonsense"), -1)
end)
