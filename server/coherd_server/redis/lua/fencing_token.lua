-- Per item KEYS: fences (fence_string.lua). ARGV: fresh incarnation, size in bytes. Answers the token of now. DEL first: what lies
-- there is not ours, and what follows is not refused at maxmemory. All bytes at once: a string that grows takes twice as many.
local answers = {}
for i = 1, #KEYS do
  local token = redis.pcall('GETRANGE', KEYS[i], 0, 15)
  if type(token) ~= 'string' or #token ~= 16 or string.sub(token, 1, 3) ~= 'CF\1' or string.sub(token, 9, 10) ~= '\0\0' then
    token = 'CF\1' .. string.sub(ARGV[2 * i], 4) .. string.rep('\0', 8)
    redis.call('DEL', KEYS[i])
    redis.call('SETRANGE', KEYS[i], ARGV[2 * i + 1] - 1, '\0')
    redis.call('SETRANGE', KEYS[i], 0, token)
  end
  answers[i] = '=' .. token
end
return answers
