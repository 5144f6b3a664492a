--[[
Put claims and buyers of an item back while it is being recovered; writes no event.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, then triples: order id, claim, and "buyer|units" to add, or ""

Returns {1, seq} put back, {-1} not recovering, {-4} wrong epoch.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq")
if meta[1] and meta[1] ~= ARGV[1] then return {-4} end
if not meta[1] or meta[2] ~= "recovering" then return {-1} end
for n = 2, #ARGV, 3 do
  if redis.call("HSET", KEYS[2], ARGV[n], ARGV[n + 1]) == 1 and ARGV[n + 2] ~= "" then
    local buyer, units = ARGV[n + 2]:match("^(.*)|(%d+)$")
    redis.call("HINCRBY", KEYS[3], buyer, units)
  end
end
return {1, tonumber(meta[3])}
