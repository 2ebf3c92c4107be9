-- items.lua tells KEYS and numbers; the lifetime is that of a tombstone [version-tombstone].
-- The leases go first: they are void whatever the values are [writes-void-leases], and what follows is then not refused at
-- maxmemory.
local answers = {}
for i = 1, count do
  wrote(i)
  change(i)
end
void_leases()
for i = 1, count do
  local key = KEYS[3 * i - 2]
  local stored = head_of(key, 51)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not stored or tombstone(stored) then
    answer = 'absent'
  elseif versioned(stored) then
    local header = '\245CH\1\6\0\0\0' .. string.sub(stored, 9, 16)
      .. struct.pack('>I8', now_ms) .. string.rep('\0', 16) .. '\0\9\1' .. string.sub(stored .. string.rep('\0', 35), 44, 51)
    redis.call('SET', key, header, 'PX', lifetime_of(i))
    answer = 'removed'
  else
    redis.call('UNLINK', key)
    answer = 'removed'
  end
  answers[i] = answer
end
wake_all()
return finished(answers)
