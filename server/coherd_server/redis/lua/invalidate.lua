-- Per item KEYS: epoch. ARGV: fresh id [unique-epochs], lifetime ms. DEL first: a missing epoch is a miss already, and
-- the SET after it is not refused at maxmemory: an invalidation must hold when memory is full.
local answers = {}
for i = 1, #KEYS do
  local left_ms = redis.call('PTTL', KEYS[i])
  redis.call('DEL', KEYS[i])
  redis.call('SET', KEYS[i], ARGV[2 * i], 'PX', math.max(left_ms, tonumber(ARGV[2 * i + 1])))
  redis.pcall('PUBLISH', 'coherd:wake', KEYS[i])
  answers[i] = 'set'
end
return answers
