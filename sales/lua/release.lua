--[[
Release one unpaid claim and give its units back.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, order id, reason: "expired" | "cancelled" | "declined"

An expired or cancelled claim must be held; "declined" is the provider's final word
and releases a paying one.
Returns {1, seq, left, flipped} released (flipped: claimable again), {2, state} was
        released before, {-1} not loaded, {-4} wrong epoch, {-12} unknown order,
        {-5, state} not in a state this reason may release, {-7} not due yet.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq", "left", "floor",
  "held", "paying", "released")
for n = 1, 8 do if not meta[n] then return {-1} end end
if meta[2] == "frozen" or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
local claim = redis.call("HGET", KEYS[2], ARGV[2])
if not claim then return {-12} end
local state, buyer, quantity, expires_at, rest =
  claim:match("^(%a+)|([^|]*)|(%d+)|(%d+)|(.*)$")
if state == "expired" or state == "cancelled" then return {2, state} end
if state ~= (ARGV[3] == "declined" and "paying" or "held") then return {-5, state} end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == "expired" and now < tonumber(expires_at) then return {-7} end

local seq, left, floor = meta[3] + 1, meta[4] + quantity, tonumber(meta[5])
local ended = ARGV[3] == "expired" and "expired" or "cancelled"
local from, units = "held", meta[6] - quantity
if state == "paying" then from, units = "paying", meta[7] - quantity end
redis.call("XADD", KEYS[4], seq .. "-0", "event", "release", "epoch", meta[1],
  "at", now, "order_id", ARGV[2], "buyer", buyer, "quantity", quantity,
  "reason", ARGV[3])
redis.call("HSET", KEYS[2], ARGV[2],
  table.concat({ended, buyer, quantity, expires_at, rest}, "|"))
redis.call("HINCRBY", KEYS[3], buyer, -quantity)
redis.call("HSET", KEYS[1], "seq", seq, "left", left, from, units,
  "released", meta[8] + quantity)
return {1, seq, math.max(0, left - floor),
  (left > floor and left - quantity <= floor) and 1 or 0}
