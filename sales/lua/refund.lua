--[[
Refund a paid claim; its units come back to the sale, or leave it for good.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, order id, restock: "1" | "0"

Returns {1, seq, left, flipped} refunded (flipped: claimable again), {2, state} was
        refunded before, {-1} not loaded, {-4} wrong epoch, {-12} unknown order,
        {-5, state} not paid.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq", "left", "floor",
  "paid", "units")
for n = 1, 7 do if not meta[n] then return {-1} end end
if meta[2] == "frozen" or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
local claim = redis.call("HGET", KEYS[2], ARGV[2])
if not claim then return {-12} end
local state, buyer, quantity, rest = claim:match("^(%a+)|([^|]*)|(%d+)|(.*)$")
if state == "refunded" then return {2, state} end
if state ~= "paid" then return {-5, state} end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local seq, left, units, floor = meta[3] + 1, tonumber(meta[4]), tonumber(meta[7]),
  tonumber(meta[5])
local before = left
if ARGV[3] == "1" then left = left + quantity else units = units - quantity end
redis.call("XADD", KEYS[4], seq .. "-0", "event", "refund", "epoch", meta[1],
  "at", now, "order_id", ARGV[2], "buyer", buyer, "quantity", quantity,
  "restock", ARGV[3])
redis.call("HSET", KEYS[2], ARGV[2],
  table.concat({"refunded", buyer, quantity, rest}, "|"))
redis.call("HINCRBY", KEYS[3], buyer, -quantity)
redis.call("HSET", KEYS[1], "seq", seq, "left", left, "units", units,
  "paid", meta[6] - quantity)
return {1, seq, math.max(0, left - floor),
  (left > floor and before <= floor) and 1 or 0}
