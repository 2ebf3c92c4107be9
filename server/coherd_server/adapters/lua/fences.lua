-- Put before the scripts that write values where all are on one node (fences.py): one string fences all keys. Its first 8
-- bytes are its incarnation, the next 8 how many calls have written; then 6 for each part of the keys: the number of the
-- last call that wrote one, 0 if none has. A mark is the first 16 bytes as they were.
local incarnation, began, changed
local before = {}

local function open(fences)
  if not incarnation then
    local head = redis.pcall('GETRANGE', fences, 0, 15)
    if type(head) == 'string' and #head == 16 then
      incarnation, began = string.sub(head, 1, 8), struct.unpack('>I8', head, 9)
    else
      incarnation, began = '', 0  -- lost, or never there: no mark holds, and who asks for one gets a new incarnation
    end
  end
end

-- Whether no key of the part was written between the mark and this call: what the call itself writes is of other keys,
-- since a process writes a key once at a time.
local function holds(fences, part, mark)
  open(fences)
  if incarnation == '' or string.sub(mark, 1, 8) ~= incarnation then
    return false
  end
  if not before[part] then
    local raw = redis.call('GETRANGE', fences, 16 + 6 * part, 21 + 6 * part)
    before[part] = #raw == 6 and struct.unpack('>I6', raw) or 0
  end
  return before[part] <= struct.unpack('>I8', mark, 9)
end

local function change(fences, part)
  open(fences)
  if incarnation ~= '' then
    redis.call('SETRANGE', fences, 16 + 6 * part, struct.pack('>I6', began + 1))
    changed = fences
  end
end

-- The answers, and the mark of now: empty where there is none.
local function finished(answers)
  local mark = ''
  if incarnation and incarnation ~= '' then
    local count = struct.pack('>I8', changed and began + 1 or began)
    if changed then
      redis.call('SETRANGE', changed, 8, count)
    end
    mark = incarnation .. count
  end
  answers[#answers + 1] = mark
  return answers
end
