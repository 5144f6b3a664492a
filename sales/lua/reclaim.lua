--[[
Take the units of a released claim again: by its buyer, or for money that came late.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, order id, target: "held" | "paying", "inside" for a buyer whom the
         waiting room has let in

"held" obeys the sale's state, window, limit, waiting list and waiting room like a new
claim. "paying" is for money that is there already, so only the floor counts.
Returns {1, seq, left, expires_at, flipped} claimed again, {2, state} not released,
        {-1} not loaded, {-4} wrong epoch, {-12} unknown order, {-10} paused,
        {-8, opens_at} not started, {-9} ended, {-5, state} refunded,
        {-2, left} sold out, {-3, left} all held, {-6, still allowed} over the limit,
        {-15} the sale has a waiting room, and the buyer is not inside.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "left", "floor", "limit",
  "opens_at", "closes_at", "hold_ms", "seq", "held", "paying", "waiting")
for n = 1, 11 do if not meta[n] then return {-1} end end
if meta[2] == "frozen" or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
local claim = redis.call("HGET", KEYS[2], ARGV[2])
if not claim then return {-12} end
local state, buyer, quantity, _, rest =
  claim:match("^(%a+)|([^|]*)|(%d+)|(%d+)|(.*)$")
if state == "refunded" then return {-5, state} end
if state ~= "expired" and state ~= "cancelled" then return {2, state} end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left, floor = tonumber(meta[3]), tonumber(meta[4])
local kept = ARGV[3] == "held" and tonumber(meta[12] or 0) or 0
if ARGV[3] == "held" then
  if meta[2] == "paused" then return {-10} end
  if meta[2] == "ended" or now >= tonumber(meta[7]) then return {-9} end
  if now < tonumber(meta[6]) then return {-8, tonumber(meta[6])} end
end
if left - quantity < floor then
  local code = left + meta[10] + meta[11] - quantity >= floor and -3 or -2
  return {code, math.max(0, left - floor - kept)}
end
if kept > 0 and left - quantity < floor + kept then
  return {-3, math.max(0, left - floor - kept)}
end
if ARGV[3] == "held" and meta[2] == "room" and ARGV[4] ~= "inside" then return {-15} end
local owned = tonumber(redis.call("HGET", KEYS[3], buyer) or 0)
if ARGV[3] == "held" and owned + quantity > tonumber(meta[5]) then
  return {-6, math.max(0, meta[5] - owned)}
end

local seq, expires_at = meta[9] + 1, now + meta[8]
left = left - quantity
local to = ARGV[3] == "paying" and 11 or 10
redis.call("XADD", KEYS[4], seq .. "-0", "event", "reclaim", "epoch", meta[1],
  "at", now, "order_id", ARGV[2], "buyer", buyer, "quantity", quantity,
  "expires_at", expires_at, "target", ARGV[3])
redis.call("HSET", KEYS[2], ARGV[2],
  table.concat({ARGV[3], buyer, quantity, expires_at, rest}, "|"))
redis.call("HINCRBY", KEYS[3], buyer, quantity)
redis.call("HSET", KEYS[1], "seq", seq, "left", left, ARGV[3], meta[to] + quantity)
return {1, seq, left - floor - kept, expires_at, left <= floor and 1 or 0}
