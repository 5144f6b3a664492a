--[[
Claim units for a batch of orders: decide each in turn, then write all.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, then per claim: order id, buyer, quantity; and at the end, if these are
         offers to the first in line, how long they hold (ms), or "inside" for buyers
         whom the waiting room has let in

An ordinary claim leaves the units `waiting`, which the line wants, above the floor.

Returns one answer per claim:
  {1, seq, left, expires_at, flipped}          admitted
  {2, state, seq, left, expires_at, flipped}   replay: known order id, its first answer
  {-1} not loaded, {-4} wrong epoch, {-10} paused, {-9} ended, {-8, opens_at} not started,
  {-2, left} sold out, {-3, left} all held: none now, but unpaid holds may come back
  or the line goes first,
  {-6, still allowed} over the buyer's limit, {-11} conflict: known id, other content,
  {-15} the sale has a waiting room (state "room"), and the buyer is not inside.
`left` is what could still be claimed: above the floor and what the line wants.
]]
local answers, batch = {}, math.floor((#ARGV - 1) / 3)
local from = ARGV[3 * batch + 2]
local offer_ms = tonumber(from)
local function all(code)
  for n = 1, batch do answers[n] = {code} end
  return answers
end

local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "left", "floor", "limit",
  "opens_at", "closes_at", "hold_ms", "seq", "held", "paying", "waiting")
for n = 1, 11 do if not meta[n] then return all(-1) end end
if redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return all(-1) end
if meta[1] ~= ARGV[1] then return all(-4) end

local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left, floor, limit = tonumber(meta[3]), tonumber(meta[4]), tonumber(meta[5])
local seq, held, paying = tonumber(meta[9]), tonumber(meta[10]), tonumber(meta[11])
local expires_at = now + (offer_ms or tonumber(meta[8]))
local kept = offer_ms and 0 or tonumber(meta[12] or 0)
local new, owned, events = {}, {}, {}

local function decide(order_id, buyer, quantity)
  local known = new[order_id] or redis.call("HGET", KEYS[2], order_id)
  if known then
    local state, by, units, ends, at, was, flip =
      known:match("^(%a+)|([^|]*)|(%d+)|(%d+)|(%d+)|(%d+)|(%d)$")
    if by ~= buyer or tonumber(units) ~= quantity then return {-11} end
    return {2, state, tonumber(at), tonumber(was), tonumber(ends), tonumber(flip)}
  end
  if meta[2] == "paused" then return {-10} end
  if meta[2] == "ended" then return {-9} end
  if meta[2] ~= "open" and meta[2] ~= "room" then return {-1} end
  if now < tonumber(meta[6]) then return {-8, tonumber(meta[6])} end
  if now >= tonumber(meta[7]) then return {-9} end
  if left - quantity < floor then
    local code = left + held + paying - quantity >= floor and -3 or -2
    return {code, math.max(0, left - floor - kept)}
  end
  if kept > 0 and left - quantity < floor + kept then
    return {-3, math.max(0, left - floor - kept)}
  end
  if meta[2] == "room" and not from then return {-15} end
  owned[buyer] = owned[buyer] or tonumber(redis.call("HGET", KEYS[3], buyer) or 0)
  if owned[buyer] + quantity > limit then
    return {-6, math.max(0, limit - owned[buyer])}
  end

  left, held, seq = left - quantity, held + quantity, seq + 1
  owned[buyer] = owned[buyer] + quantity
  local flipped = left <= floor and 1 or 0
  local value = table.concat(
    {"held", buyer, quantity, expires_at, seq, left - floor - kept, flipped}, "|")
  new[order_id] = value
  events[#events + 1] = {seq, order_id, buyer, quantity}
  return {1, seq, left - floor - kept, expires_at, flipped}
end

for n = 1, batch do
  answers[n] = decide(ARGV[3 * n - 1], ARGV[3 * n], tonumber(ARGV[3 * n + 1]))
end
if #events == 0 then return answers end

for _, e in ipairs(events) do  -- first: XADD is the one write that can refuse
  redis.call("XADD", KEYS[4], e[1] .. "-0", "event", "claim", "epoch", meta[1],
    "at", now, "order_id", e[2], "buyer", e[3], "quantity", e[4],
    "expires_at", expires_at)
  redis.call("HSET", KEYS[2], e[2], new[e[2]])
  redis.call("HINCRBY", KEYS[3], e[3], e[4])
end
redis.call("HSET", KEYS[1], "seq", seq, "left", left, "held", held)
return answers
