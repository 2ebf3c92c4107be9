-- items.lua tells KEYS and numbers. ARGV: per item its entry, and the lease as read.
-- Stores only under that very lease; what fills it twice in one call finds it ended.
local answers, ended = {}, {}
for i = 1, count do
  local key, lease = KEYS[3 * i - 2], KEYS[3 * i - 1]
  local entry, held = ARGV[2 * i + 1], ARGV[2 * i + 2]
  local stored = head_of(key, 16)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif ended[lease] or redis.pcall('GET', lease) ~= held then
    answer = 'rejected'
  elseif stored and versioned(stored) and versioned(entry) and version_above(stored, entry) then
    ended[lease] = true
    wrote(i)
    answer = 'older_version'
  else
    local done = redis.pcall('SET', key, entry, 'PX', lifetime_of(i))
    if done.err then
      answer = refusal(done)
    else
      ended[lease] = true
      wrote(i)
      change(i)
      answer = 'stored'
    end
  end
  answers[i] = answer
end
void_leases()
wake_all()
return finished(answers)
