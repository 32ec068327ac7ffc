local function cleaned(text)
    feed{ Payload = text }
    return injected()[1].Payload
end

test("card numbers go, other numbers stay", function()
    equal(cleaned("card 4111 1111 1111 1111 paid"), "card [redacted]1111 paid")
    equal(cleaned("card 4111-1111-1111-1112 paid"), "card 4111-1111-1111-1112 paid")
    equal(cleaned("order 1234567890 at 2024-01-01"), "order 1234567890 at 2024-01-01")
end)

test("tokens go, their names stay", function()
    equal(cleaned("GET /?token=abc123&x=1"), "GET /?token=[redacted]&x=1")
    equal(cleaned('{"Password": "hunter2", "user": "ann"}'), '{"Password": "[redacted]", "user": "ann"}')
    equal(cleaned("Authorization: Bearer abc.def-ghi"), "Authorization: Bearer [redacted]")
    equal(cleaned("key AKIAIOSFODNN7EXAMPLE used"), "key [redacted] used")
    equal(cleaned("jwt eyJhbGciOi.eyJzdWIi.c2ln end"), "jwt [redacted] end")
end)

test("fields are looked through when asked for", function()
    script{ config = { fields = "note" } }
    feed{ Payload = "x", Fields = { note = "token=abc", other = "token=abc" } }
    local m = injected()[1]
    equal({ m.Fields.note, m.Fields.other }, { "token=[redacted]", "token=abc" })
    script{ config = { fields = "*" } }
    feed{ Payload = "x", Fields = { a = "token=abc", list = { "ok", "secret=1" }, n = 5 } }
    m = injected()[1]
    equal({ m.Fields.a, m.Fields.list, m.Fields.n }, { "token=[redacted]", { "ok", "secret=[redacted]" }, 5 })
end)

test("a mask may hold any text", function()
    script{ config = { mask = "100%", keep_last_four = false } }
    equal(cleaned("token=x 4111111111111111"), "token=100% 100%")
end)
