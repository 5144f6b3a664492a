--[[
Change a loaded item in one step: units, floor, limit, window, state.

KEYS[1]  meta:    hash, counters of the item
KEYS[2]  claims:  hash, order id -> state|buyer|quantity|expires_at|seq|left|flipped
KEYS[3]  buyers:  hash, buyer -> units owned
KEYS[4]  events:  stream, id <seq>-0
ARGV     epoch, ref (a change with the same ref is made once; "" for none),
         then pairs: "units" delta | "floor" n | "limit" n | "opens_at" ms |
         "closes_at" ms | "state" word | "verified" epoch (leaves recovery)

A frozen or recovering item takes only a change that is marked "verified", or one that
freezes it.
Returns {1, seq, left, flipped} changed, {2, seq} made before, or nothing to change,
        {-1} not loaded, {-4} wrong epoch,
        {-14, unclaimed} takes back more units than are unclaimed.
]]
local fields = {"epoch", "state", "seq", "units", "left", "floor", "limit",
  "opens_at", "closes_at"}
local found, meta = redis.call("HMGET", KEYS[1], unpack(fields)), {}
for n, field in ipairs(fields) do
  if not found[n] then return {-1} end
  meta[field] = tonumber(found[n]) or found[n]
end
if redis.call("HGET", KEYS[2], "_epoch") ~= found[1]
  or redis.call("HGET", KEYS[3], "_epoch") ~= found[1]
  or redis.call("EXISTS", KEYS[4]) == 0 then return {-1} end
if found[1] ~= ARGV[1] then return {-4} end
if ARGV[2] ~= "" then
  local made = redis.call("HGET", KEYS[1], "ref:" .. ARGV[2])
  if made then return {2, tonumber(made)} end
end

local set = {}
for n = 3, #ARGV, 2 do set[ARGV[n]] = tonumber(ARGV[n + 1]) or ARGV[n + 1] end
local doubtful = meta.state == "frozen" or meta.state == "recovering"
if doubtful and not set.verified and set.state ~= "frozen" then return {-1} end
local delta = set.units or 0
if meta.left + delta < 0 then return {-14, meta.left} end
local before, changed = meta.left - meta.floor, delta ~= 0
meta.units, meta.left = meta.units + delta, meta.left + delta
for _, field in ipairs({"floor", "limit", "opens_at", "closes_at", "state"}) do
  if set[field] ~= nil and set[field] ~= meta[field] then
    meta[field], changed = set[field], true
  end
end
if not changed and ARGV[2] == "" then return {2, meta.seq} end

local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seq, after = meta.seq + 1, meta.left - meta.floor
redis.call("XADD", KEYS[4], seq .. "-0", "event", "adjust", "epoch", found[1],
  "at", now, "ref", ARGV[2], "delta", delta, "units", meta.units, "left", meta.left,
  "floor", meta.floor, "limit", meta.limit, "opens_at", meta.opens_at,
  "closes_at", meta.closes_at, "state", meta.state)
redis.call("HSET", KEYS[1], "seq", seq, "units", meta.units, "left", meta.left,
  "floor", meta.floor, "limit", meta.limit, "opens_at", meta.opens_at,
  "closes_at", meta.closes_at, "state", meta.state)
if ARGV[2] ~= "" then redis.call("HSET", KEYS[1], "ref:" .. ARGV[2], seq) end
return {1, seq, math.max(0, after), (before > 0) ~= (after > 0) and 1 or 0}
