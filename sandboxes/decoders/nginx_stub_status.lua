--- Reads the page of nginx's module stub_status.
--@family decoder
--@option type string "nginx.stub_status" Type of the messages.
--@option payload_keep boolean false Whether the page stays as Payload.
--@sample
--  [decoder.stub_status]
--  type = "nginx_stub_status"

local l = require "lpeg"

local message_type = read_config("type")
local payload_keep = read_config("payload_keep")

local space = l.S " \r\n\t" ^ 0
local function number(name)
    return space * l.Cg(l.R "09" ^ 1 / tonumber, name) * space
end

local grammar = l.Ct("Active connections:" * number "connections"
    * "server accepts handled requests" * (l.P " request_time") ^ -1 * number "accepts" * number "handled" * number "requests" * number "request_time" ^ -1
    * "Reading:" * number "reading" * "Writing:" * number "writing" * "Waiting:" * number "waiting") * -1

function process_message()
    local page = read_message("Payload")
    local fields = grammar:match(page)
    if not fields then
        return -1, "this is no page of stub_status"
    end
    inject_message{ Type = message_type, Payload = payload_keep and page or nil, Fields = fields }
    return 0
end
