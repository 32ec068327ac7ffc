--- Bad in many ways.
--@family filter
--@every 10s
--@option threshold integer 500 Statuses.
--@option unused string "x" Nobody reads it.
require "strin"
local cjson = require "cjson"
local thing = read_config("treshold")

function process_message()
    local f = io.open("x")
    write_message("Type", "x")
    local rate = 10 / 2 .. " per second"
    total = totl + 1
    cjson.encod({})
    string.fromat("%d", 1)
    os.execute("rm")
    table.foreach({}, print)
    loadstring("x")()
    local text = tostring(total / 2)
    return 0
end
