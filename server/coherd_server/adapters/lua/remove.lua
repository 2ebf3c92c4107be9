-- Per item KEYS: value, lease. ARGV: lifetime of a tombstone, ms.
-- The lease goes first: it is void whatever the value is, and a tombstone may then be written at maxmemory.
local answers = {}
for i = 1, #KEYS / 2 do
  local key, lease = KEYS[2 * i - 1], KEYS[2 * i]
  redis.call('DEL', lease)
  local stored = head_of(key, 51)
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not stored or tombstone(stored) then
    answer = 'absent'
  elseif versioned(stored) then
    local header = string.sub(stored, 1, 4) .. '\6\0\0\0' .. string.sub(stored, 9, 16)
      .. struct.pack('>I8', now_ms) .. string.rep('\0', 16) .. '\0\9\1' .. string.sub(stored, 44, 51)
    redis.call('SET', key, header, 'PX', ARGV[i + 1])
    answer = 'removed'
  else
    redis.call('UNLINK', key)
    answer = 'removed'
  end
  answers[i] = answer
end
return answers
