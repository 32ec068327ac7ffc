--- Puts the index line of Elasticsearch's bulk API in front of a payload that is a document already.
---
--- `index`, `type_name` and `id` may hold parts of the message and of the time: `%{Logger}-%{%Y.%m.%d}`. A payload of several
--- lines is put into one if it is JSON; else the message fails.
--@family encoder
--@option index string "heka-%{%Y.%m.%d}" Index the documents go to.
--@option type_name string "message" Type of the documents; empty for Elasticsearch 8, which has none.
--@option id string Id of a document; by default Elasticsearch makes one.
--@option es_index_from_timestamp boolean false The time is the message's, not the time now.
--@sample
--  [output.search]
--  type = "file"
--  match = 'Type == "app.event"'
--  dir = "/var/spool/elasticsearch"
--  name = "%Y%m%d%H%M.bulk"
--  encoder = "bulk"
--
--  [encoder.bulk]
--  type = "es_payload"
--  index = "%{Logger}-%{%Y.%m.%d}"
--  es_index_from_timestamp = true

local elasticsearch = require "elasticsearch"

local index = read_config("index") or "heka-%{%Y.%m.%d}"
local type_name = read_config("type_name") or "message"
local id = read_config("id")
local from_timestamp = read_config("es_index_from_timestamp")

function process_message()
    local document = elasticsearch.payload_line(read_message("Payload"))
    if not document or document == "" then
        return -1, "the payload is not a JSON document"
    end
    local ns = from_timestamp and read_message("Timestamp") or nil
    add_to_payload(elasticsearch.bulkapi_index_json(index, type_name ~= "" and type_name or nil, id, ns), "\n", document, "\n")
    inject_payload()
    return 0
end
