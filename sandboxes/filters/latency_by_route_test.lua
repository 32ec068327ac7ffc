local function request(line, seconds)
    return feed{ Type = "nginx.access", Fields = { request = line, request_time = seconds } }
end

local function by_tags(messages)
    local found = {}
    for _, m in ipairs(messages) do
        found[m.Fields.name .. " " .. m.Fields.route .. " " .. (m.Fields.quantile or "")] = m.Fields.value
    end
    return found
end

test("tells quantiles of each route", function()
    script{ max_timer_inject = 100 }
    for i = 1, 100 do
        request("GET /cart?id=" .. i .. " HTTP/1.1", i / 100)
    end
    request("GET /slow HTTP/1.1", 7)
    advance("60s")
    local found = by_tags(injected())
    expect(math.abs(found["latency /cart p50"] - 0.5) < 0.02, found["latency /cart p50"])
    expect(math.abs(found["latency /cart p99"] - 0.99) < 0.03, found["latency /cart p99"])
    expect(math.abs(found["latency /slow p95"] - 7) < 0.1, found["latency /slow p95"])
    equal(found["latency.count /cart "], 100)
end)

test("begins anew after each tick", function()
    request("/a", 1)
    advance("60s")
    injected()
    advance("60s")
    equal(#injected(), 0)
end)

test("routes beyond the limit share one", function()
    script{ config = { routes = 2 }, max_timer_inject = 100 }
    for i = 1, 10 do
        request("/" .. i, 1)
    end
    advance("60s")
    equal(by_tags(injected())["latency.count (other) "], 8)
end)

test("a message without a duration is a failure of that message", function()
    local status = feed{ Fields = { request = "/a" } }
    equal(status, -1)
end)

test("counts go on after a reload", function()
    request("/a", 1)
    reload()
    request("/a", 1)
    advance("60s")
    equal(by_tags(injected())["latency.count /a "], 2)
end)
