-- Per item KEYS: value, lease, waiting. ARGV: holder, lifetime ms (0: release the lease). Only for the lease's holder:
-- its bytes from the second are the token, then the grant (format: coherd_server/core/lease_bytes.py); either that, or the token alone.
local answers = {}
for i = 1, #KEYS / 3 do
  local key, lease, waiting = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local holder, lifetime_ms = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  local held = redis.pcall('GET', lease)
  if type(held) ~= 'string' or string.sub(held, 2, 1 + #holder) ~= holder then
    answers[i] = 'lost'
  elseif lifetime_ms > 0 then
    redis.call('PEXPIRE', lease, lifetime_ms)
    answers[i] = 'held'
  else
    redis.call('DEL', lease)
    wake(key, waiting)
    answers[i] = 'released'
  end
end
return answers
