-- Put before the scripts that look at entries (format: coherd_server/core/entry.py).
-- The first `size` bytes under a key, 51 at least: the shortest header. False when the key is absent; nil when what it
-- holds is foreign: no string, not our magic, format 0, or cut off. Every later format keeps the first 16 bytes
-- [later-format].
local function head_of(key, size)
  local head = redis.pcall('GETRANGE', key, 0, math.max(size, 51) - 1)
  if type(head) ~= 'string' then
    return nil
  end
  if head == '' and redis.call('EXISTS', key) == 0 then
    return false
  end
  local format = string.byte(head, 4)
  if string.sub(head, 1, 3) ~= '\245CH' or not format or format < 1 or #head < (format == 1 and 51 or 16) then
    return nil
  end
  return head
end

local function versioned(head)
  return math.floor(string.byte(head, 5) / 2) % 2 == 1
end

local function tombstone(head)
  return math.floor(string.byte(head, 5) / 4) % 2 == 1
end

-- Numbers, not strings: Lua compares strings by the server's locale. Two halves: a double holds 53 bits.
local function version_above(head, other)
  local high, low = struct.unpack('>I4I4', string.sub(head, 9, 16))
  local other_high, other_low = struct.unpack('>I4I4', string.sub(other, 9, 16))
  return high > other_high or (high == other_high and low > other_low)
end

local function refusal(reply)
  return '!' .. string.match(reply.err, '%u+')
end
