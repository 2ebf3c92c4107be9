-- items.lua tells KEYS and numbers. ARGV: token: the fences as they were before the sets began [late-write-fence]; condition: '-'
-- always, '=' .. header (empty: only if absent); then per item its entry.
-- The leases go after the SETs: a script whose first write is a DEL is let past maxmemory. If the first SET is not refused, none
-- is, and nothing here can fail after one that worked: of an item both happen or none [all-or-nothing].
local token, condition = ARGV[3], ARGV[4]
local conditional, judged = string.sub(condition, 1, 1) == '=', string.sub(condition, 2)
local answers = {}
for i = 1, count do
  local key, entry = KEYS[3 * i - 2], ARGV[4 + i]
  local stored = head_of(key, #judged)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not holds(i, token) then
    answer = 'fenced'
  elseif stored and conditional and (judged == '' or string.sub(stored, 1, #judged) ~= judged) then
    answer = 'present'
  elseif stored and versioned(stored) and versioned(entry) and version_above(stored, entry) then
    answer = 'older_version'
  else
    local done = redis.pcall('SET', key, entry, 'PX', lifetime_of(i))
    if done.err then
      answer = refusal(done)
    else
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
