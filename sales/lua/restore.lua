--[[
Put claims or buyers of an item back while it is being recovered; writes no event.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, "claims" | "buyers", then pairs of a field of that hash and its value

Values are absolute, so a repeat changes nothing.
Returns {1, seq} put back, {-1} not recovering, {-4} wrong epoch.
]]
local meta = redis.call("HMGET", KEYS[1], "epoch", "state", "seq")
if meta[1] and meta[1] ~= ARGV[1] then return {-4} end
if not meta[1] or meta[2] ~= "recovering" then return {-1} end
for first = 3, #ARGV, 1000 do  -- Lua's stack holds no more than some thousands
  local last = math.min(first + 999, #ARGV)
  if ARGV[2] == "claims" then
    redis.call("HSET", KEYS[2], unpack(ARGV, first, last))
  else
    redis.call("HSET", KEYS[3], unpack(ARGV, first, last))
  end
end
return {1, tonumber(meta[3])}
