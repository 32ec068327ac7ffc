local cjson = require "cjson"

local MESSAGE = { Timestamp = 1409378221000000000, Type = "log", Payload = "test", Logger = "web", Severity = 5, Fields = { n = 1, list = { 1, 2 } } }

-- A point by the names of its columns.
local function point(series)
    local values = {}
    for i, column in ipairs(series.columns) do
        values[column] = series.points[1][i]
    end
    return values
end

test("writes headers and fields as columns", function()
    script{ config = { series = "heka.%{Logger}", skip_fields = "Pid EnvVersion Hostname" } }
    feed(MESSAGE)
    local output = cjson.decode(encoded())
    equal(#output, 1)
    equal(output[1].name, "heka.web")
    equal(point(output[1]), { time = 1409378221000, Type = "log", Payload = "test", Logger = "web", Severity = 5, n = 1, list = { 1, 2 } })
end)

test("writes a series for each field", function()
    script{ config = { multi_series = true, exclude_base_fields = true, skip_fields = "list" } }
    feed(MESSAGE)
    equal(cjson.decode(encoded()), { { name = "series.n", columns = { "time", "value" }, points = { { 1409378221000, 1 } } } })
end)

test("writes nothing when there is no series", function()
    script{ config = { multi_series = true } }
    equal((feed{ Type = "x" }), -2)
end)
