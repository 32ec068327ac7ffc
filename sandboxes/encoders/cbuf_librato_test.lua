local cjson = require "cjson"

-- The text of a buffer with one column and rows of a minute.
local function cbuf(time, ...)
    local header = '{"time":%d,"rows":%d,"columns":1,"seconds_per_row":60,"column_info":[{"name":"hits","unit":"count","aggregation":"sum"}]}\n'
    return header:format(time, select("#", ...)) .. table.concat({ ... }, "\n") .. "\n"
end

local function send(payload)
    return feed{ Type = "heka.sandbox-output", Logger = "f", Hostname = "thor", Payload = payload, Fields = { payload_type = "cbuf", payload_name = "n" } }
end

local function gauges()
    local found = {}
    for _, gauge in ipairs(cjson.decode(encoded()).gauges) do
        equal(gauge.name, "hits")
        equal(gauge.source, "thor")
        found[#found + 1] = { gauge.measure_time, gauge.value }
    end
    return found
end

test("sends each row once", function()
    equal((send(cbuf(600, "1", "nan", "3", "4"))), 0)
    equal(gauges(), { { 600, 1 }, { 720, 3 } })
    equal((send(cbuf(600, "1", "nan", "3", "5"))), -2)
    equal((send(cbuf(660, "nan", "3", "5", "6"))), 0)
    equal(gauges(), { { 780, 5 } })
    equal((send(cbuf(6000, "7", "nan", "nan", "nan"))), 0)
    equal(gauges(), { { 6000, 7 } })
end)

test("remembers over a restart", function()
    send(cbuf(600, "1", "2", "3"))
    reload()
    send(cbuf(660, "2", "3", "4"))
    equal(gauges(), { { 720, 3 } })
end)

test("passes over annotations", function()
    send('{"annotations":[]}\n' .. cbuf(600, "1", "2", "3"))
    equal(#gauges(), 2)
end)

test("refuses what is no buffer", function()
    equal((send("text")), -1)
    equal((send("")), -1)
    equal((send('{"time":1}\n1\n2\n')), -1)
    equal((send(cbuf(600, "x", "2", "3"))), -1)
    equal((send(cbuf(600, "1", "2", "3"))), 0)
    equal((send(cbuf(610, "1", "2", "3"))), -1)
end)
