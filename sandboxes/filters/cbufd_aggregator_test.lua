local HEADER = '{"time":0,"rows":3,"columns":3,"seconds_per_row":60,"column_info":['
    .. '{"name":"requests","unit":"count","aggregation":"sum"},{"name":"slowest","unit":"s","aggregation":"max"},'
    .. '{"name":"version","unit":"count","aggregation":"none"}]}\n'

local function changes(text, name, header)
    return feed{
        Type = "heka.sandbox-output",
        Payload = (header or HEADER) .. text,
        Fields = { payload_type = "cbufd", payload_name = name or "Web" },
    }
end

local function rows(payload)
    local found = {}
    for line in payload:gmatch("\n([^\n]+)") do
        found[#found + 1] = line
    end
    return found
end

test("merges the changes of many", function()
    equal(changes("60\t1\t0.5\t7\n120\tnan\t2\tnan\n"), 0)
    equal(changes("60\t10\t0.25\t8\n120\t5\tnan\tnan\n"), 0)
    tick()
    local out = injected()
    equal(#out, 1)
    equal(out[1].Fields.payload_type, "cbuf")
    equal(out[1].Fields.payload_name, "Web")
    matches(out[1].Payload, '"name":"slowest","unit":"s","aggregation":"max"')
    equal(rows(out[1].Payload), { "nan\tnan\tnan", "11\t0.5\tnan", "5\t2\tnan" })
end)

test("sends on what has changed, once", function()
    script{ config = { enable_delta = true } }
    changes("60\t1\t0.5\tnan\n")
    tick()
    local out = injected()
    equal(#out, 2)
    equal(out[2].Fields.payload_type, "cbufd")
    equal(rows(out[2].Payload), { "60\t1\t0.5\tnan" })
    tick()
    equal(#injected(), 1)
end)

test("graphs are kept apart, carried over, and begin anew in another shape", function()
    changes("60\t1\tnan\tnan\n", "A")
    changes("60\t2\tnan\tnan\n", "B")
    reload()
    changes("60\t1\tnan\tnan\n", "A")
    tick()
    local found = {}
    for _, m in ipairs(injected()) do
        found[m.Fields.payload_name] = rows(m.Payload)[2]
    end
    equal(found, { A = "2\tnan\tnan", B = "2\tnan\tnan" })
    changes("60\t5\tnan\tnan\n", "A", (HEADER:gsub('"rows":3', '"rows":4')))
    tick()
    for _, m in ipairs(injected()) do
        if m.Fields.payload_name == "A" then
            equal(rows(m.Payload), { "nan\tnan\tnan", "5\tnan\tnan", "nan\tnan\tnan", "nan\tnan\tnan" })
        end
    end
end)

test("what is no cbufd is refused and does no harm", function()
    for _, text in ipairs{ "", "60\t1", "{}\n60\t1\n", '{"rows":1}\n', HEADER .. "x\t1\n", HEADER .. "60\n", "{\n60\t1\n" } do
        local status = feed{ Payload = text, Fields = { payload_type = "cbufd", payload_name = "Web" } }
        equal(status, -1)
    end
    tick()
    equal(#injected(), 0)
end)

test("remarks come along", function()
    local annotated = HEADER:gsub("%]}\n", '],"annotations":[{"x":60000,"col":1,"shortText":"A","text":"up"}]}\n')
    equal(changes("60\t1\tnan\tnan\n", "Web", annotated), 0)
    tick()
    matches(injected()[1].Payload, '"annotations":%[{"x":60000,"col":1,"shortText":"A","text":"up"}%]}\n')
end)
