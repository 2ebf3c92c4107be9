-- Put before the scripts that write values. Per item KEYS: value, lease, waiting; behind those of all items the fences. ARGV[2]: the
-- numbers of all items in one string, 12 bytes each: lifetime in ms (8), the two places of the key in the fences (2 and 2).
local numbers = ARGV[2]
local count = #numbers / 12

local function lifetime_of(i)
  return (struct.unpack('>I8', numbers, 12 * i - 11))
end

-- What is to be done for those that were written, when all are.
local leases, awaited, written = {}, {}, {}

local function wrote(i)
  local at = #written + 1
  leases[at], awaited[at], written[at] = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i - 2]
end

local function void_leases()
  if #leases > 0 then
    redis.call('DEL', unpack(leases))
  end
end

-- Where nobody waits one command finds it out for all.
local function wake_all()
  if #awaited > 0 and redis.call('EXISTS', unpack(awaited)) > 0 then
    for at = 1, #written do
      wake(written[at], awaited[at])
    end
  end
end
