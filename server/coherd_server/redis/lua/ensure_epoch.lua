-- Per item KEYS: epoch. ARGV: fresh id, lifetime needed ms. Renewal is PEXPIRE, never SET
-- [epochs-outlive-entries].
local answers = {}
for i = 1, #KEYS do
  local fresh, need_ms = ARGV[2 * i], ARGV[2 * i + 1]
  local id = redis.pcall('GET', KEYS[i])
  if type(id) == 'string' and #id == 8 then
    local left_ms = redis.call('PTTL', KEYS[i])
    if left_ms >= 0 and left_ms < tonumber(need_ms) then
      redis.call('PEXPIRE', KEYS[i], need_ms)
    end
    answers[i] = '=' .. id
  else
    local written = redis.pcall('SET', KEYS[i], fresh, 'PX', need_ms)
    answers[i] = written.err and '!' .. string.match(written.err, '%u+') or '=' .. fresh
  end
end
return answers
