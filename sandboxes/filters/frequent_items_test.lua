local function seen(item, times)
    for _ = 1, times do
        feed{ Type = "t", Fields = { item = item } }
    end
end

local function list()
    tick()
    return injected()[1].Payload
end

test("lists what is frequent", function()
    script{ config = { message_variable = "Fields[item]", min_output_weight = 2 } }
    seen("a", 3)
    seen("b", 5)
    seen("rare", 2)
    seen("has\ttab", 4)
    equal(list(), "Fields[item]\tWeight\tError\nb\t5\t0\nhas tab\t4\t0\na\t3\t0\n")
end)

test("keeps memory bounded", function()
    script{ config = { message_variable = "Fields[item]", min_output_weight = 0, max_items = 2 } }
    seen("a", 10)
    seen("b", 1)
    seen("c", 1)
    equal(list(), "Fields[item]\tWeight\tError\na\t10\t0\nc\t2\t1\n")
end)

test("begins anew at midnight", function()
    script{ config = { message_variable = "Fields[item]", min_output_weight = 0 } }
    seen("a", 1)
    equal(list(), "Fields[item]\tWeight\tError\na\t1\t0\n")
    tick(now() + 86400 * 1000000000)
    injected()
    equal(list(), "Fields[item]\tWeight\tError\n")
end)

test("counts on after a restart", function()
    script{ config = { message_variable = "Fields[item]", min_output_weight = 0 } }
    seen("a", 1)
    reload()
    seen("a", 1)
    equal(list(), "Fields[item]\tWeight\tError\na\t2\t0\n")
end)

test("passes over messages without the item, and counts numbers", function()
    script{ config = { message_variable = "Fields[item]", min_output_weight = 0 } }
    equal((feed{ Type = "t" }), 0)
    seen(7, 1)
    equal(list(), "Fields[item]\tWeight\tError\n7\t1\t0\n")
end)
