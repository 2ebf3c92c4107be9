-- Put before the scripts that write values where all are on one node (fencing.py): one string fences all keys. Its first 8
-- bytes are its incarnation ('CF\1' and random ones), the next 8 how many calls have written; then 6 for each place: the
-- number of the last call that wrote a key of it, 0 if none has. A key has two places. A token is the first 16 bytes as
-- they were.
local incarnation, began, changed
local before = {}

local function open(fences)
  if not incarnation then
    local head = redis.pcall('GETRANGE', fences, 0, 15)
    if type(head) == 'string' and #head == 16 and string.sub(head, 1, 3) == 'CF\1' and string.sub(head, 9, 10) == '\0\0' then
      incarnation, began = string.sub(head, 1, 8), struct.unpack('>I8', head, 9)
    else
      -- Lost, or never there: no token holds [remembered-then-verified], and who asks for one gets a new incarnation.
      incarnation, began = '', 0
    end
  end
end

-- Whether no key of the place was written between the token and this call. What the call itself writes is of other keys,
-- since a process writes a key once at a time; a put looks at its places before it writes them.
local function untouched(fences, place, token)
  if not before[place] then
    local raw = redis.call('GETRANGE', fences, 16 + 6 * place, 21 + 6 * place)
    before[place] = #raw == 6 and struct.unpack('>I6', raw) or 0
  end
  return before[place] <= struct.unpack('>I8', token, 9)
end

local function two(places)
  return math.floor(places / 65536), places % 65536
end

-- A write changes both places of its key: one that was not changed shows that the key was not written.
local function holds(fences, places, token)
  open(fences)
  if incarnation == '' or string.sub(token, 1, 8) ~= incarnation then
    return false
  end
  local one, other = two(places)
  one, other = untouched(fences, one, token), untouched(fences, other, token)
  return one or other
end

local function change(fences, places)
  open(fences)
  if incarnation ~= '' then
    local number = struct.pack('>I6', began + 1)
    local one, other = two(places)
    redis.call('SETRANGE', fences, 16 + 6 * one, number)
    redis.call('SETRANGE', fences, 16 + 6 * other, number)
    changed = fences
  end
end

-- The answers, and the token of now: empty where there is none.
local function finished(answers)
  local token = ''
  if incarnation and incarnation ~= '' then
    local count = struct.pack('>I8', changed and began + 1 or began)
    if changed then
      redis.call('SETRANGE', changed, 8, count)
    end
    token = incarnation .. count
  end
  answers[#answers + 1] = token
  return answers
end
