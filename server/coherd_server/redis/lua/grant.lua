-- Per item KEYS: value, lease. ARGV: value as judged ('-' absent, '=' .. header), lease as judged (empty: none), new lease,
-- lifetime ms. Granted only if both are still what was judged [grant-compares].
local answers = {}
for i = 1, #KEYS / 2 do
  local key, lease = KEYS[2 * i - 1], KEYS[2 * i]
  local judged, judged_lease, granted, lifetime_ms = ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
  local head = string.sub(judged, 2)
  local stored = head_of(key, math.max(16, #head))
  local held = redis.pcall('GET', lease)
  if type(held) ~= 'string' then
    held = ''  -- of another type: no lease, and overwritten
  end
  local same
  if stored and string.sub(judged, 1, 1) == '=' then
    same = string.sub(stored, 1, #head) == head
  elseif stored then
    same = tombstone(stored) and judged == '-'
  else
    same = judged == '-'
  end
  local answer
  if stored == nil then
    answer = 'foreign'
  elseif not same or held ~= judged_lease then
    answer = 'changed'
  else
    local written = redis.pcall('SET', lease, granted, 'PX', lifetime_ms)
    answer = written.err and refusal(written) or 'granted'
  end
  answers[i] = answer
end
return answers
