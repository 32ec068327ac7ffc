local function stays(fields, severity)
    feed{ Severity = severity or 6, Fields = fields }
    return #injected() == 1
end

test("about the share stays, and a trace stays whole", function()
    local kept = 0
    for i = 1, 2000 do
        local first = stays{ trace_id = "t" .. i }
        equal(stays{ trace_id = "t" .. i }, first)
        if first then
            kept = kept + 1
        end
    end
    expect(kept > 140 and kept < 270, kept)
end)

test("errors and messages without a trace stay", function()
    script{ config = { keep = 0 } }
    equal(stays{ trace_id = "a" }, false)
    equal(stays({ trace_id = "a" }, 3), true)
    equal(stays{ trace_id = "a", status = 502 }, true)
    equal(stays{ other = 1 }, true)
end)

test("what stays tells the share", function()
    script{ config = { keep = 1 } }
    feed{ Severity = 6, Fields = { trace_id = "a" } }
    equal(injected()[1].Fields.sample_rate, 1)
end)

test("a share beyond one is refused", function()
    matches(fails(function() script{ config = { keep = 2 } } end), "keep is a share")
end)
