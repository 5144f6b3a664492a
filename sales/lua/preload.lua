--[[
Create the counters of an item, only when none are there.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, event ("preload" | "recover"), then pairs of meta fields and values;
         `seq` among them is the last number used so far

Claims and buyers get a field "_epoch", so that losing one of the keys is noticed.
Returns {1, seq} created, {2, seq} was there with the same epoch,
        {-4} there with another epoch, {-11} some other key of the item is there.
]]
local epoch = redis.call("HGET", KEYS[1], "epoch")
if epoch then
  if epoch ~= ARGV[1] then return {-4} end
  return {2, tonumber(redis.call("HGET", KEYS[1], "seq"))}
end
if redis.call("EXISTS", KEYS[1], KEYS[2], KEYS[3], KEYS[4]) > 0 then return {-11} end

local meta, event, seq = {"epoch", ARGV[1]}, {}, nil
for n = 3, #ARGV, 2 do
  local field, value = ARGV[n], ARGV[n + 1]
  if field == "seq" then
    seq = value + 1
    value = seq
  else
    event[#event + 1], event[#event + 2] = field, value
  end
  meta[#meta + 1], meta[#meta + 2] = field, value
end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("XADD", KEYS[4], seq .. "-0", "event", ARGV[2], "epoch", ARGV[1],
  "at", now, unpack(event))
redis.call("HSET", KEYS[2], "_epoch", ARGV[1])
redis.call("HSET", KEYS[3], "_epoch", ARGV[1])
redis.call("HSET", KEYS[1], unpack(meta))
return {1, seq}
