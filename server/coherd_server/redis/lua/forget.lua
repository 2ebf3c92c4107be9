-- Per item KEYS: registry. ARGV: replica, its field as it stood still. Only if it still does.
local answers = {}
for i = 1, #KEYS do
  local replica, field = ARGV[2 * i], ARGV[2 * i + 1]
  if redis.pcall('HGET', KEYS[i], replica) == field then
    redis.call('HDEL', KEYS[i], replica)
    answers[i] = 'forgotten'
  else
    answers[i] = 'kept'
  end
end
return answers
