--[[
Set how many units the waiting list wants; a policy like the limit, so no event.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, units

Returns {1, seq} set, {2, seq} it was that already,
        {-1} not loaded, {-4} wrong epoch.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "seq", "waiting")
if not meta[1] or not meta[2] then return {-1} end
if meta[1] ~= ARGV[1] then return {-4} end
if (meta[3] or "0") == ARGV[2] then return {2, tonumber(meta[2])} end
redis.call("HSET", KEYS[1], "waiting", ARGV[2])
return {1, tonumber(meta[2])}
