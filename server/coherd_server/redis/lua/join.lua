-- Per item KEYS: log, registry. ARGV: fresh id, member, its field (terms, watermark or none, 8 bytes of beat),
-- completeness or ''.
-- Register, take the tail, publish the watermark where it changed. '*' holds the incarnation of the registry, '+' the
-- completeness that was found for one: incarnation and identity.
local answers = {}
for i = 1, #KEYS / 2 do
  local log, registry = KEYS[2 * i - 1], KEYS[2 * i]
  local fresh, member, field, complete = ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1]
  open(registry)
  local generation, position = tail_of(log)
  if not generation then
    generation, position = add(log, fresh, 1000, '', '0')
  end
  redis.call('HSETNX', registry, '*', fresh)
  if complete ~= '' and string.sub(complete, 1, 8) == redis.call('HGET', registry, '*') then
    redis.call('HSET', registry, '+', complete)
  end
  local before = redis.call('HGET', registry, member) or ''
  redis.call('HSET', registry, member, field)
  if string.sub(before, 1, -9) ~= string.sub(field, 1, -9) then
    redis.pcall('PUBLISH', 'coherd:near', member .. field .. log)  -- not permitted: waiters look again on their own
  end
  answers[i] = answer_of(generation, position, registry)
end
return answers
