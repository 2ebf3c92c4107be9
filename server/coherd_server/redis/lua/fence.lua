-- Put before the scripts that write values on a cluster (fences.py): each key has a fence of its own in its hash slot. A
-- mark is its id; a write takes it away.
local function holds(fence, _, mark)
  return redis.pcall('GET', fence) == mark
end

local function change(fence)
  redis.call('DEL', fence)
end

local function finished(answers)
  return answers
end
