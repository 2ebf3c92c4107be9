-- Per item KEYS: value, lease, fence, waiting. ARGV: lifetime of a tombstone in ms [version-tombstone], places.
-- The lease goes first: it is void whatever the value is [writes-void-leases], and what follows is then not refused at
-- maxmemory.
local answers = {}
for i = 1, #KEYS / 4 do
  local key, waiting = KEYS[4 * i - 3], KEYS[4 * i]
  redis.call('DEL', KEYS[4 * i - 2])
  change(KEYS[4 * i - 1], ARGV[2 * i + 1])
  local stored = head_of(key, 51)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not stored or tombstone(stored) then
    answer = 'absent'
  elseif versioned(stored) then
    local header = '\245CH\1\6\0\0\0' .. string.sub(stored, 9, 16)
      .. struct.pack('>I8', now_ms) .. string.rep('\0', 16) .. '\0\9\1' .. string.sub(stored .. string.rep('\0', 35), 44, 51)
    redis.call('SET', key, header, 'PX', ARGV[2 * i])
    answer = 'removed'
  else
    redis.call('UNLINK', key)
    answer = 'removed'
  end
  wake(key, waiting)
  answers[i] = answer
end
return finished(answers)
