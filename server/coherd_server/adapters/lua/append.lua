-- Per item KEYS: log, registry. ARGV: fresh generation, entries to keep (about), names joined by newlines, '1' if awaited:
-- only who waits needs the registry.
local answers = {}
for i = 1, #KEYS / 2 do
  local log, registry = KEYS[2 * i - 1], KEYS[2 * i]
  open(registry)
  local generation, position = add(log, ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1])
  answers[i] = ARGV[4 * i + 1] == '1' and answer_of(generation, position, registry) or {generation, position}
end
return answers
