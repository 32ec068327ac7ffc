local p = "\d+"
function process_message() return 0 end
