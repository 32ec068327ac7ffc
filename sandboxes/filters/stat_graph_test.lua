local CONFIG = { rows = 2, sec_per_row = 60, stats = "hits misses" }

local function metric(name, value)
    return feed{ Type = "metric", Timestamp = now(), Fields = { name = name, value = value } }
end

local function with(changes)
    local config = {}
    for _, from in ipairs{ CONFIG, changes } do
        for key, value in pairs(from) do
            config[key] = value
        end
    end
    script{ config = config }
end

test("adds up metrics by name", function()
    with{ stat_labels = "Hits Misses", title = "Cache" }
    metric("hits", 3)
    metric("hits", 4)
    metric("misses", 0.5)
    metric("others", 100)
    tick()
    local out = injected()
    equal(out[1].Fields.payload_name, "Cache")
    matches(out[1].Payload, '"name":"Hits".*"name":"Misses"')
    matches(out[1].Payload, "\n7\t0%.5\n$")
end)

test("keeps the last, or the largest", function()
    with{ aggregation = "none" }
    metric("hits", 9)
    metric("hits", 4)
    tick()
    matches(injected()[1].Payload, "\n4\tnan\n$")
    with{ aggregation = "max" }
    metric("hits", 9)
    metric("hits", 4)
    tick()
    matches(injected()[1].Payload, "\n9\tnan\n$")
end)

test("reads Heka's statmetric messages", function()
    with{}
    feed{ Type = "heka.statmetric", Fields = { timestamp = now() // 1000000000, hits = 2, misses = 1, other = 5 } }
    tick()
    matches(injected()[1].Payload, "\n2\t1\n$")
    equal(feed{ Type = "heka.statmetric", Fields = { hits = 2 } }, -1)
end)

test("labels must go with the names", function()
    matches(fails(function() with{ stat_labels = "one" } end), "same number of names")
    matches(fails(function() with{ stats = " " } end), "names no metric")
    matches(fails(function() with{ aggregation = "mean" } end), "invalid option 'mean'")
end)
