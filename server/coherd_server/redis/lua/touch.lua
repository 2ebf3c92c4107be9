-- Per item KEYS: value. ARGV: header that was judged, new header of the same length, lifetime ms.
-- PEXPIRE first: SETRANGE as first write is refused at maxmemory, and here it never grows anything.
local answers = {}
for i = 1, #KEYS do
  local judged, header, lifetime_ms = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  if head_of(KEYS[i], #judged) == judged then
    redis.call('PEXPIRE', KEYS[i], lifetime_ms)
    redis.call('SETRANGE', KEYS[i], 0, header)
    answers[i] = 'touched'
  else
    answers[i] = 'changed'
  end
end
return answers
