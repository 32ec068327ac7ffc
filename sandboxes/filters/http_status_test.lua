local function request(status, age)
    return feed{ Type = "nginx.access", Timestamp = now() - (age or 0) * 1000000000, Fields = { status = status } }
end

-- The rows of a graph's text, without its header lines.
local function rows(payload)
    local found = {}
    for line in payload:gmatch("[^\n]+") do
        if line:sub(1, 1) ~= "{" then
            found[#found + 1] = line
        end
    end
    return found
end

test("counts by class", function()
    script{ config = { rows = 3 } }
    for _, status in ipairs{ 100, 200, 204, 301, 404, 499, 503, 99, 600, 200.0 } do
        request(status)
    end
    request(500, 60)
    advance("60s")
    local out = injected()
    equal(#out, 1)
    equal(out[1].Type, "heka.sandbox-output")
    equal(out[1].Fields.payload_type, "cbuf")
    equal(out[1].Fields.payload_name, "HTTP Status")
    matches(out[1].Payload, '^{"time":%d+,"rows":3,"columns":6,"seconds_per_row":60,"column_info":%[{"name":"HTTP_100"')
    equal(rows(out[1].Payload), {
        "nan\tnan\tnan\tnan\tnan\tnan",
        "nan\tnan\tnan\tnan\t1\tnan",
        "1\t3\t1\t2\t1\t2",
    })
end)

test("a message without a status is refused", function()
    local status, why = feed{ Type = "nginx.access", Fields = { status = "200" } }
    equal(status, -1)
    matches(why, "no number")
end)

test("counts are carried over", function()
    request(200)
    reload()
    request(200)
    tick()
    matches(injected()[1].Payload, "\nnan\t2\tnan\tnan\tnan\tnan\n")
end)

test("alerts once when requests cease, and marks the graph", function()
    script{ config = { rows = 60, anomaly_config = 'roc("HTTP Status", 2, 5, 0, 1.5, true, false)' } }
    local alerts = {}
    local function minutes(count, requests)
        for _ = 1, count do
            for _ = 1, requests do
                request(200)
            end
            advance("60s")
            for _, m in ipairs(injected()) do
                if m.Fields.payload_type == "alert" then
                    alerts[#alerts + 1] = m.Payload
                else
                    last = m.Payload
                end
            end
        end
    end
    minutes(30, 10)
    equal(alerts, {})
    minutes(8, 0)
    equal(#alerts, 1)
    matches(alerts[1], "^HTTP Status %- algorithm: roc col: 2 msg: ")
    matches(last, '^{"annotations":%[{.*"shortText":"A".*}%]}\n{"time":')
end)

test("checks that cannot be read are refused", function()
    local message = fails(function() script{ config = { anomaly_config = "roc(1)" } } end)
    matches(message, "could not parse the anomaly_config: a name in quotes expected at byte 5")
end)
