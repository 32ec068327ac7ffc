-- Counts answers with an error status by method and route, and by status within each.
local longest_list = read_config("longest_list") or 10

routes = {}

-- One route for all products, carts and searches: without the query, numbers as `:id`.
local function route_of(method, uri)
    return method .. " " .. uri:gsub("%?.*", ""):gsub("/%d+", "/:id")
end

function process_message()
    local name = route_of(read_message("Fields[request_method]"), read_message("Fields[request_uri]"))
    local route = routes[name]
    if not route then
        route = {name = name, total = 0, by_status = {}}
        routes[name] = route
    end
    local status = read_message("Fields[status]")
    route.total = route.total + 1
    route.by_status[status] = (route.by_status[status] or 0) + 1
    return 0
end

-- Without `every` in the configuration there is one tick: the last one, when all is read.
function timer_event()
    local list = {}
    for _, route in pairs(routes) do list[#list + 1] = route end
    table.sort(list, function(a, b) return a.total > b.total or a.total == b.total and a.name < b.name end)
    for i = 1, math.min(longest_list, #list) do
        local statuses = {}
        for status, count in pairs(list[i].by_status) do statuses[#statuses + 1] = status .. "×" .. count end
        table.sort(statuses)
        add_to_payload(string.format("%4d  %-28s %s\n", list[i].total, list[i].name, table.concat(statuses, " ")))
    end
    inject_payload("txt", "report")
end
