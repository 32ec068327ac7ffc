function process_message()
    if read_message("Type") = "access" then
        return 0
    end
end
