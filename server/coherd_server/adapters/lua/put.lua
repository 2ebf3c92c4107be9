-- Per item KEYS: value, lease. ARGV: entry, lifetime ms, condition: '-' always, '=' .. header (empty: only if absent).
-- The lease goes after the SET: a script whose first write is a DEL is let past maxmemory. Both happen or none:
-- after a SET that worked nothing here can fail.
local answers = {}
for i = 1, #KEYS / 2 do
  local key, lease = KEYS[2 * i - 1], KEYS[2 * i]
  local entry, lifetime_ms, condition = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local judged = string.sub(condition, 2)
  local stored = head_of(key, math.max(16, #judged))
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif stored and string.sub(condition, 1, 1) == '=' and (judged == '' or string.sub(stored, 1, #judged) ~= judged) then
    answer = 'occupied'
  elseif stored and versioned(stored) and versioned(entry) and version_above(stored, entry) then
    answer = 'older'
  else
    local written = redis.pcall('SET', key, entry, 'PX', lifetime_ms)
    if written.err then
      answer = refusal(written)
    else
      redis.call('DEL', lease)
      answer = 'stored'
    end
  end
  answers[i] = answer
end
return answers
