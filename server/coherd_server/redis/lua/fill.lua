-- Per item KEYS: value, lease, fence, waiting. ARGV: entry, lifetime ms, lease as read, places.
-- Stores only under that very lease.
local answers = {}
for i = 1, #KEYS / 4 do
  local key, lease, fence, waiting = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i]
  local entry, lifetime_ms, held, places = ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
  local stored = head_of(key, 16)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif redis.pcall('GET', lease) ~= held then
    answer = 'rejected'
  elseif stored and versioned(stored) and versioned(entry) and version_above(stored, entry) then
    redis.call('DEL', lease)
    wake(key, waiting)
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
