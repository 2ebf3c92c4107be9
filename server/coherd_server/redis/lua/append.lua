-- Per item KEYS: log, registry. ARGV: fresh generation, entries to keep (about), names joined by newlines, '1' if awaited:
-- only who waits needs the registry, and those who read the log at leisure are told to hurry.
local answers = {}
for i = 1, #KEYS / 2 do
  local log, registry = KEYS[2 * i - 1], KEYS[2 * i]
  open(registry)
  local generation, position = add(log, ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1])
  if ARGV[4 * i + 1] == '1' then
    answers[i] = answer_of(generation, position, registry)
    redis.pcall('PUBLISH', 'coherd:near', log)  -- not permitted: they read a few times a second on their own
  else
    answers[i] = {generation, position}
  end
end
return answers
