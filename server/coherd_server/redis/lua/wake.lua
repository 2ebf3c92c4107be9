-- Put before the scripts that end a wait: tell the servers that hold callers of this key (channel coherd:wake).
local function wake(key, waiting)
  if redis.call('DEL', waiting) == 1 then
    redis.pcall('PUBLISH', 'coherd:wake', key)  -- not permitted: the timer of the waiters stands behind
  end
end
