test("reads the page", function()
    equal(feed("Active connections: 291 \nserver accepts handled requests\n 16630948 16630946 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"), 0)
    equal(injected()[1].Fields, { connections = 291, accepts = 16630948, handled = 16630946, requests = 31070465, reading = 6, writing = 179, waiting = 106 })
end)

test("anything else is refused", function()
    equal(feed("404 Not Found"), -1)
end)
