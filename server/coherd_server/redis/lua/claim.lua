-- Per item KEYS: claim. ARGV: token, lifetime ms. Taken if free, extended if ours.
local answers = {}
for i = 1, #KEYS do
  local token, lifetime_ms = ARGV[2 * i], ARGV[2 * i + 1]
  local holder = redis.pcall('GET', KEYS[i])
  if type(holder) ~= 'string' or holder == token then
    redis.call('SET', KEYS[i], token, 'PX', lifetime_ms)
    answers[i] = 'yes'
  else
    answers[i] = 'no'
  end
end
return answers
