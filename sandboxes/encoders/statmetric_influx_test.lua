local cjson = require "cjson"

test("writes a series for each metric", function()
    feed{ Type = "heka.statmetric", Fields = { timestamp = 1408404848, ["stats.counters.a.rate"] = 0.5 } }
    equal(cjson.decode(encoded()), { { name = "stats.counters.a.rate", columns = { "time", "value" }, points = { { 1408404848000, 0.5 } } } })
end)

test("needs a timestamp", function()
    equal((feed{ Fields = { a = 1 } }), -1)
end)

test("writes nothing without metrics", function()
    equal((feed{ Fields = { timestamp = 1 } }), -2)
end)
