threshold = read_config("threshold")
local function process_message() return 0 end
