-- Put before the scripts of the log (change_log.py): a stream with ids <position>-0 and fields g (generation), n (names), w.
-- Generation and position of the last entry; nothing where there is no log of ours, or no entry is left of it.
local function tail_of(log)
  local found = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if found.err or not found[1] then
    return nil
  end
  local position, fields = string.match(found[1][1], '^(%d+)-0$'), found[1][2]
  if position and fields[1] == 'g' and #fields[2] == 8 then
    return fields[2], tonumber(position)
  end
end

-- The next entry; the first of a new generation where there is no tail, or its successor's id was used before.
local function add(log, fresh, keep, names, awaited)
  local generation, position = tail_of(log)
  if generation then
    local next = string.format('%d-0', position + 1)
    local added = redis.pcall('XADD', log, 'MAXLEN', '~', keep, next, 'g', generation, 'n', names, 'w', awaited)
    if type(added) == 'string' then
      return generation, position + 1
    end
  end
  redis.call('DEL', log)
  redis.call('XADD', log, '1-0', 'g', fresh, 'n', names, 'w', awaited)
  return fresh, 1
end

-- A write that is never refused at maxmemory, so that those after it are not either: a change that holds must be told.
-- It also makes room for the registry where something else lies.
local function open(registry)
  local opened = redis.pcall('HDEL', registry, '')
  if type(opened) == 'table' and opened.err then
    redis.call('DEL', registry)
  end
end

-- What every script of the log answers: generation, position, and the registry: field, value, ...
local function answer_of(generation, position, registry)
  local answer = redis.call('HGETALL', registry)
  table.insert(answer, 1, position)
  table.insert(answer, 1, generation)
  return answer
end
