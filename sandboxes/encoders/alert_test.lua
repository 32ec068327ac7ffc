test("writes a paragraph", function()
    feed{ Type = "heka.sandbox-output", Timestamp = 1400077218000000000, Hostname = "web1", Logger = "HTTPStatus", Payload = "too many errors" }
    equal(encoded(), "Timestamp: 2014-05-14T14:20:18Z\nHostname: web1\nPlugin: HTTPStatus\nAlert: too many errors\n")
end)

test("writes a paragraph of an empty message", function()
    feed{ Timestamp = 0 }
    matches(encoded(), "^Timestamp: 1970%-01%-01T00:00:00Z\nHostname: .*\nPlugin: .*\nAlert: \n$")
end)
