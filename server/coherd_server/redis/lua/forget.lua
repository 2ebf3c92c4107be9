-- Per item KEYS: registry. ARGV: member, its field as it stood still. Only if it still does.
local answers = {}
for i = 1, #KEYS do
  local member, field = ARGV[2 * i], ARGV[2 * i + 1]
  if redis.pcall('HGET', KEYS[i], member) == field then
    redis.call('HDEL', KEYS[i], member)
    answers[i] = 'forgotten'
  else
    answers[i] = 'kept'
  end
end
return answers
