--[[
Read an item's counters as one snapshot; writes nothing.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     none

Returns {1, now, meta as a flat list, claims, buyers, events, last id, whole: 1 | 0},
        {-1} not loaded. The counts leave the "_epoch" fields out; `whole` says that no
        key of the item is missing.
]]
local epoch = redis.call("HGET", KEYS[1], "epoch")
if not epoch then return {-1} end
local time = redis.call("TIME")
local last = redis.call("XREVRANGE", KEYS[4], "+", "-", "COUNT", 1)
local whole = #last == 1
  and redis.call("HGET", KEYS[2], "_epoch") == epoch
  and redis.call("HGET", KEYS[3], "_epoch") == epoch
return {1, time[1] * 1000 + math.floor(time[2] / 1000),
  redis.call("HGETALL", KEYS[1]),
  redis.call("HLEN", KEYS[2]) - 1, redis.call("HLEN", KEYS[3]) - 1,
  redis.call("XLEN", KEYS[4]), last[1] and last[1][1] or "", whole and 1 or 0}
