-- Put before every script (scripts.py). ARGV[1]: deadline, unix milliseconds in this node's own time
-- [node-time-deadline].
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if now_ms > tonumber(ARGV[1]) then
  return 'late'
end
