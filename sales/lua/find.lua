--[[
Look one claim up; writes nothing.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     order id

Returns {1, claim, seq} found as it was after event `seq`, {-12} unknown order,
        {-1} not loaded: a key is missing, or the item is being put back.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq")
if not meta[1] or not meta[3] or meta[2] == "recovering"
  or redis.call("HGET", KEYS[2], "_epoch") ~= meta[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= meta[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
local claim = redis.call("HGET", KEYS[2], ARGV[1])
if not claim then return {-12} end
return {1, claim, tonumber(meta[3])}
