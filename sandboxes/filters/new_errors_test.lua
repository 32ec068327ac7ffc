local TRACE = [[IllegalStateException: user 4711 is gone
  at shop.Cart.add(Cart.java:93)
  at shop.Web.handle(Web.java:17)
  at jetty.Server.run(Server.java:%d)
  at java.lang.Thread.run(Thread.java:%d)]]

local function new_errors(text)
    feed{ Type = "app", Severity = 3, Logger = "shop", Payload = text }
    return #injected()
end

test("an error is told the first time only", function()
    equal(new_errors("disk /dev/sda1 is full"), 1)
    equal(new_errors("disk /dev/sda1 is full"), 0)
    equal(new_errors("disk is gone"), 1)
end)

test("what varies does not make an error new", function()
    equal(new_errors("order 17 of 'ann' failed: id 7f3a9c2e-0011-4a5b-8c9d-aabbccddeeff at 0xdeadbeef"), 1)
    equal(new_errors("order 99 of 'bob' failed: id 00000000-1111-2222-3333-444455556666 at 0x1"), 0)
end)

test("of a stack trace the first frames count", function()
    equal(new_errors(string.format(TRACE, 1, 2)), 1)
    equal(new_errors(string.format(TRACE, 300, 4)), 0)
    equal(new_errors((string.gsub(string.format(TRACE, 1, 2), "Cart.add", "Cart.remove"))), 1)
end)

test("known errors stay known after a reload", function()
    equal(new_errors("a"), 1)
    reload()
    equal(new_errors("a"), 0)
end)

test("the new message says which", function()
    feed{ Severity = 3, Logger = "shop", Payload = "boom 1" }
    local out = injected()[1]
    equal({ out.Type, out.Payload, out.Fields.fingerprint, out.Fields.logger }, { "heka.sandbox.new_error", "boom 1", "boom #", "shop" })
end)
