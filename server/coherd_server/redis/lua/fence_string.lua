-- Put before the scripts that write values where all are on one node (fencing.py): one string, the last key, fences all keys. Its
-- first 8 bytes are its incarnation ('CF\1' and random ones), the next 8 how many calls have written; then 6 for each place: the
-- number of the last call that wrote a key of it, 0 if none has. A key has two places. A token is the first 16 bytes as they were.
local fences = KEYS[#KEYS]
local incarnation, began = '', 0
local head = redis.pcall('GETRANGE', fences, 0, 15)
if type(head) == 'string' and #head == 16 and string.sub(head, 1, 3) == 'CF\1' and string.sub(head, 9, 10) == '\0\0' then
  incarnation, began = string.sub(head, 1, 8), struct.unpack('>I8', head, 9)
end  -- Else lost, or never there: no token holds [remembered-then-verified], and who asks for one gets a new incarnation.
local before
local changes = {'BITFIELD', fences}

-- Where the places of an item begin in the string, in bits.
local function places_of(i)
  local one, other = struct.unpack('>I2I2', numbers, 12 * i - 3)
  return 128 + 48 * one, 128 + 48 * other
end

-- What is in the first places of all items, by one command. What this call writes itself comes into the string when it ends: it is
-- of other keys, since a process writes a key once at a time, and does not fence off those that share a place with it.
local function look()
  local asked = {'BITFIELD_RO', fences}
  for i = 1, count do
    local at = 3 * i
    asked[at], asked[at + 1], asked[at + 2] = 'GET', 'u48', (places_of(i))
  end
  before = redis.call(unpack(asked))
end

-- A write changes both places of its key: one that was not changed shows that the key was not written.
local function holds(i, token)
  if incarnation == '' or string.sub(token, 1, 8) ~= incarnation then
    return false
  end
  local marked = struct.unpack('>I8', token, 9)
  if began <= marked then
    return true  -- no key was written
  end
  if not before then
    look()
  end
  if before[i] <= marked then
    return true
  end
  local _, other = places_of(i)
  return redis.call('BITFIELD_RO', fences, 'GET', 'u48', other)[1] <= marked
end

local number = string.format('%.0f', began + 1)

local function change(i)
  local one, other = places_of(i)
  local at = #changes
  changes[at + 1], changes[at + 2], changes[at + 3], changes[at + 4] = 'SET', 'u48', one, number
  changes[at + 5], changes[at + 6], changes[at + 7], changes[at + 8] = 'SET', 'u48', other, number
end

-- The answers, and the token of now: empty where there is none.
local function finished(answers)
  local token = ''
  if incarnation ~= '' then
    local at = #changes
    if at > 2 then
      began = began + 1
      changes[at + 1], changes[at + 2], changes[at + 3], changes[at + 4] = 'SET', 'u48', 80, number
      redis.call(unpack(changes))
    end
    token = incarnation .. struct.pack('>I8', began)
  end
  answers[#answers + 1] = token
  return answers
end
