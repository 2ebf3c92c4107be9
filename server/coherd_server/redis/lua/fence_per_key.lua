-- Put before the scripts that write values on a cluster (fencing.py): each key has a fence of its own in its hash slot, the last
-- keys. A token is its id; a write takes it away.
local function holds(i, token)
  return redis.pcall('GET', KEYS[3 * count + i]) == token
end

local function change(i)
  redis.call('DEL', KEYS[3 * count + i])
end

local function finished(answers)
  return answers
end
