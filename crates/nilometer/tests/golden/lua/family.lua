--@family output
local n = 0
function process_message() inject_message{Type="x"} return 0 end
