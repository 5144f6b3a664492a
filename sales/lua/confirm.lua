--[[
Confirm the payment of a claim: its units are sold.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, order id

Returns {1, seq} confirmed, {2, state} was confirmed before,
        {-1} not loaded, {-4} wrong epoch, {-12} unknown order,
        {-5, state} not paying.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq", "paying", "paid")
for n = 1, 5 do if not meta[n] then return {-1} end end
if meta[2] == "frozen" or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
local claim = redis.call("HGET", KEYS[2], ARGV[2])
if not claim then return {-12} end
local state, buyer, quantity, rest = claim:match("^(%a+)|([^|]*)|(%d+)|(.*)$")
if state == "paid" then return {2, state} end
if state ~= "paying" then return {-5, state} end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local seq = meta[3] + 1
redis.call("XADD", KEYS[4], seq .. "-0", "event", "confirm", "epoch", meta[1],
  "at", now, "order_id", ARGV[2], "buyer", buyer, "quantity", quantity)
redis.call("HSET", KEYS[2], ARGV[2],
  table.concat({"paid", buyer, quantity, rest}, "|"))
redis.call("HSET", KEYS[1], "seq", seq,
  "paying", meta[4] - quantity, "paid", meta[5] + quantity)
return {1, seq}
