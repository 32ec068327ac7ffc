local function request(address, bytes)
    return feed{ Type = "nginx.access", Fields = { remote_addr = address, body_bytes_sent = bytes } }
end

test("adds up and lists the largest", function()
    script{ config = { item = "Fields[remote_addr]", weight = "Fields[body_bytes_sent]", top = 2 } }
    request("a", 100)
    request("b", 500)
    request("a", 300)
    request("c", 100)
    tick()
    local out = injected()
    equal(#out, 1)
    matches(out[1].Type, "top_talkers$")
    equal(out[1].Payload, "item\tsum\tshare\nb\t500\t50.0%\na\t400\t40.0%\n")
    equal(out[1].Fields, { first = "b", first_sum = 500, first_share = 0.5, total = 1000 })
    tick()
    equal(injected(), {})
end)

test("counts messages without a weight", function()
    script{ config = { item = "Fields[remote_addr]" } }
    request("a", 1)
    request("a", 1)
    request("b", 1)
    tick()
    equal(injected()[1].Payload, "item\tsum\tshare\na\t2\t66.7%\nb\t1\t33.3%\n")
end)

test("keeps the sums over a restart", function()
    script{ config = { item = "Fields[remote_addr]" } }
    request("a", 1)
    reload()
    request("a", 1)
    tick()
    equal(injected()[1].Fields.first_sum, 2)
end)

test("refuses a weight that is no number, and passes over messages without the item", function()
    script{ config = { item = "Fields[remote_addr]", weight = "Fields[body_bytes_sent]" } }
    equal((request("a", "many")), -1)
    equal((request("a", -5)), -1)
    equal((feed{ Type = "x" }), 0)
end)
