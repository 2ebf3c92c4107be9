-- Per item KEYS: fences (fences.lua). ARGV: fresh incarnation, size in bytes. Answers the mark of now. DEL first: what lies
-- there is not ours, and what follows is not refused at maxmemory. All bytes at once: a string that grows takes twice as many.
local answers = {}
for i = 1, #KEYS do
  local mark = redis.pcall('GETRANGE', KEYS[i], 0, 15)
  if type(mark) ~= 'string' or #mark ~= 16 or string.sub(mark, 1, 3) ~= 'CF\1' or string.sub(mark, 9, 10) ~= '\0\0' then
    mark = 'CF\1' .. string.sub(ARGV[2 * i], 4) .. string.rep('\0', 8)
    redis.call('DEL', KEYS[i])
    redis.call('SETRANGE', KEYS[i], ARGV[2 * i + 1] - 1, '\0')
    redis.call('SETRANGE', KEYS[i], 0, mark)
  end
  answers[i] = '=' .. mark
end
return answers
