-- Per item KEYS: value. ARGV: header that was judged dead. What carries an item version still counts
-- and stays [version-tombstone].
local answers = {}
for i = 1, #KEYS do
  local judged = ARGV[i + 1]
  if head_of(KEYS[i], #judged) == judged and not versioned(judged) then
    redis.call('UNLINK', KEYS[i])
    answers[i] = 'unlinked'
  else
    answers[i] = 'kept'
  end
end
return answers
