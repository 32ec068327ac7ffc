local function description()
    tick()
    local out = injected()
    equal(out[1].Fields.payload_name, "Message Schema")
    return out[1].Payload
end

test("describes loggers, types and fields", function()
    feed{ Logger = "web", Type = "access", Fields = { status = 200, path = "/" } }
    feed{ Logger = "web", Type = "access", Fields = { status = "none" } }
    feed{ Logger = "app", Type = "", EnvVersion = "1", Fields = { ok = true } }
    equal(description(), [[
app [1]
    -no type- [1]
        1 [1]
            ok (bool)
web [2]
    access [2]
        -no version- [2]
            path (string - optional [1])
            status (mismatch)
]])
end)

test("counts on after a restart", function()
    feed{ Logger = "web", Type = "t" }
    reload()
    feed{ Logger = "web", Type = "t" }
    matches(description(), "^web %[2%]\n")
end)

test("tells only so many names apart", function()
    script{ config = { max_names = 3 } }
    feed{ Logger = "a", Type = "b", Fields = { c = 1 } }
    feed{ Logger = "z", Type = "b" }
    matches(description(), "\n2 names were overlooked, see max_names\n$")
end)
