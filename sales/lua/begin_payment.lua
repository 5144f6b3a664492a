--[[
Begin the payment of a held claim: from now on expiry cannot take its units.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, order id

Returns {1, seq} begun, {2, state} was begun (or paid) before,
        {-1} not loaded, {-4} wrong epoch, {-12} unknown order,
        {-5, state} not held any more, {-13} its hold has ended.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq", "held", "paying")
for n = 1, 5 do if not meta[n] then return {-1} end end
if meta[2] == "frozen" or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
local claim = redis.call("HGET", KEYS[2], ARGV[2])
if not claim then return {-12} end
local state, buyer, quantity, expires_at, rest =
  claim:match("^(%a+)|([^|]*)|(%d+)|(%d+)|(.*)$")
if state == "paying" or state == "paid" then return {2, state} end
if state ~= "held" then return {-5, state} end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now >= tonumber(expires_at) then return {-13} end

local seq = meta[3] + 1
redis.call("XADD", KEYS[4], seq .. "-0", "event", "begin", "epoch", meta[1],
  "at", now, "order_id", ARGV[2], "buyer", buyer, "quantity", quantity)
redis.call("HSET", KEYS[2], ARGV[2],
  table.concat({"paying", buyer, quantity, expires_at, rest}, "|"))
redis.call("HSET", KEYS[1], "seq", seq,
  "held", meta[4] - quantity, "paying", meta[5] + quantity)
return {1, seq}
