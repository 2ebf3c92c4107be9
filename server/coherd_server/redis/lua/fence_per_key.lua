-- Put before the scripts that write values on a cluster (fencing.py): each key has a fence of its own in its hash slot. A
-- token is its id; a write takes it away.
local function holds(fence, _, token)
  return redis.pcall('GET', fence) == token
end

local function change(fence)
  redis.call('DEL', fence)
end

local function finished(answers)
  return answers
end
