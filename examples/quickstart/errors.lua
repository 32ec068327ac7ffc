-- Which routes fail most? Change `threshold` to 400 and save: the counts go on, the answer changes.
threshold = 500
longest_list = 5
errors = {}

function process_message()
    local status = read_message("Fields[status]")
    if status and status >= threshold then
        local route = (read_message("Fields[request_uri]") or "-"):gsub("%?.*", ""):gsub("/%d+", "/:id")
        errors[route] = (errors[route] or 0) + 1
    end
    return 0
end

function timer_event()
    local routes = {}
    for route in pairs(errors) do routes[#routes + 1] = route end
    table.sort(routes, function(a, b) return errors[a] > errors[b] or errors[a] == errors[b] and a < b end)
    add_to_payload("errors by route (status ", threshold, " and above)\n")
    for i = 1, math.min(longest_list, #routes) do
        add_to_payload(string.format("%6d  %s\n", errors[routes[i]], routes[i]))
    end
    inject_payload("txt", "errors")
end
