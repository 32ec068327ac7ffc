local HEADER = '{"time":0,"rows":1440,"columns":2,"seconds_per_row":60,"column_info":['
    .. '{"name":"requests","unit":"count","aggregation":"sum"},{"name":"slowest","unit":"s","aggregation":"max"}]}\n'

local function changes(host, text)
    return feed{
        Hostname = host,
        Timestamp = now(),
        Payload = HEADER .. text,
        Fields = { payload_type = "cbufd", payload_name = "Web" },
    }
end

local function graphs()
    tick()
    local found = {}
    for _, m in ipairs(injected()) do
        found[m.Fields.payload_name] = m.Payload
    end
    return found
end

test("a graph for each column, a column for each host", function()
    script{ config = { max_hosts = 3, rows = 2 } }
    changes("a", "0\t1\t0.5\n60\t2\t1.5\n")
    changes("b", "60\t20\tnan\n")
    changes("a", "60\t3\t1\n")
    local out = graphs()
    matches(out["Web (requests)"], '^{"options":{"stackedGraph":true,"fillGraph":true}}\n{"time":0,"rows":2,"columns":3,')
    matches(out["Web (requests)"], '"name":"a","unit":"count".*"name":"b","unit":"count".*"name":"Column_3"')
    matches(out["Web (requests)"], "\n1\tnan\tnan\n5\t20\tnan\n$")
    matches(out["Web (slowest)"], "\n0%.5\tnan\tnan\n1%.5\tnan\tnan\n$")
end)

test("a host too many is refused until one is silent for long", function()
    script{ config = { max_hosts = 1, rows = 2, host_expiration = "10m" } }
    equal(changes("a", "60\t1\t1\n"), 0)
    local status, why = changes("b", "60\t1\t1\n")
    equal(status, -1)
    matches(why, "raise max_hosts")
    advance("10m")
    injected()
    equal(changes("b", "60\t1\t1\n"), 0)
    matches(graphs()["Web (requests)"], '"name":"b".*\nnan\n2\n$')
    equal(changes("a", "60\t1\t1\n"), -1)
end)

test("what is no cbufd is refused", function()
    script{ config = { max_hosts = 1, rows = 2 } }
    equal(feed{ Payload = "x", Hostname = "a", Fields = { payload_type = "cbufd" } }, -1)
    equal(feed{ Payload = "{}\n1\t2\n", Hostname = "a", Fields = { payload_type = "cbufd" } }, -1)
end)

test("graphs are carried over", function()
    script{ config = { max_hosts = 2, rows = 2 } }
    changes("a", "60\t1\t1\n")
    reload()
    changes("b", "60\t2\t1\n")
    changes("a", "60\t3\t1\n")
    matches(graphs()["Web (requests)"], "\n4\t2\n$")
end)
