function process_message()
  if x then
  return 0
end
