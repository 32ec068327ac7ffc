local MESSAGE = { Timestamp = 1434932024000000000, Type = "app", Logger = "web", Payload = '{"a":1}', Fields = { request = "r1" } }

test("puts the index line in front", function()
    feed(MESSAGE)
    equal(encoded(), '{"index":{"_index":"heka-2024.01.01","_type":"message"}}\n{"a":1}\n')
end)

test("uses parts of the message", function()
    script{ config = { index = "%{Logger}-%{%Y.%m.%d}", type_name = "%{Type}", id = "%{request}", es_index_from_timestamp = true } }
    feed(MESSAGE)
    equal(encoded(), '{"index":{"_index":"web-2015.06.22","_type":"app","_id":"r1"}}\n{"a":1}\n')
end)

test("leaves out the type", function()
    script{ config = { index = "logs", type_name = "" } }
    feed(MESSAGE)
    equal(encoded(), '{"index":{"_index":"logs"}}\n{"a":1}\n')
end)

test("puts a document of several lines into one", function()
    script{ config = { index = "logs", type_name = "" } }
    feed{ Payload = '{\n  "a": 1\n}\n' }
    equal(encoded(), '{"index":{"_index":"logs"}}\n{"a":1}\n')
end)

test("refuses what is no document", function()
    local status, why = feed{ Payload = "a\nb" }
    equal(status, -1)
    equal(why, "the payload is not a JSON document")
    equal((feed{ Payload = "" }), -1)
end)
