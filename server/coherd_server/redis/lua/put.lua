-- Per item KEYS: value, lease, fence, waiting. ARGV: entry, lifetime ms, condition: '-' always, '=' .. header (empty: only
-- if absent), token: the fence as it was before the set began [late-write-fence], places.
-- The lease goes after the SET: a script whose first write is a DEL is let past maxmemory. Both happen or none
-- [all-or-nothing]: after a SET that worked nothing here can fail.
local answers = {}
for i = 1, #KEYS / 4 do
  local key, lease, fence, waiting = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i]
  local entry, lifetime_ms, condition = ARGV[5 * i - 3], ARGV[5 * i - 2], ARGV[5 * i - 1]
  local token, places = ARGV[5 * i], ARGV[5 * i + 1]
  local judged = string.sub(condition, 2)
  local stored = head_of(key, math.max(16, #judged))
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not holds(fence, places, token) then
    answer = 'fenced'
  elseif stored and string.sub(condition, 1, 1) == '=' and (judged == '' or string.sub(stored, 1, #judged) ~= judged) then
    answer = 'present'
  elseif stored and versioned(stored) and versioned(entry) and version_above(stored, entry) then
    answer = 'older_version'
  else
    local written = redis.pcall('SET', key, entry, 'PX', lifetime_ms)
    if written.err then
      answer = refusal(written)
    else
      redis.call('DEL', lease)
      change(fence, places)
      wake(key, waiting)
      answer = 'stored'
    end
  end
  answers[i] = answer
end
return finished(answers)
