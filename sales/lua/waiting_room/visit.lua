--[[
A visitor of a sale's waiting room looks in: passes lapse, heads go in, their place.

KEYS[1]  waiting: sorted set, visitor -> place; below 1: drawn by lot
KEYS[2]  called:  sorted set, visitor -> until when they may show up
KEYS[3]  inside:  sorted set, visitor -> until when they may buy
KEYS[4]  meta:    hash: arrivals, keep_until, filled_at, and admissions by the minute
KEYS[5]  served:  sorted set, like inside, of who has bought: they take nobody's turn
ARGV     visitor, lot (a number in [0, 1) to join with; "" only looks), allowance,
         opens_at, keep_until ("" as before), pass ms, call ms

Whoever joins before opens_at waits by lot, later ones behind them as they come. From
opens_at on people go in from the head, at most BATCH a visit, while fewer are called or
inside than the allowance. Who looks in when called is inside from then on.
Returns {state, ahead, until, admissions, in ms, now}; state is "outside", "early",
"waiting" or "inside"; admissions were made in that time because somebody made room.
]]
local BATCH, MINUTE = 200, 60000
local visitor, lot, allowance = ARGV[1], ARGV[2], tonumber(ARGV[3])
local opens_at, pass, call = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = {}
for n, field in ipairs({"keep_until", "filled_at", "minute", "this", "before"}) do
  meta[field] = tonumber(redis.call("HGET", KEYS[4], field))
end

redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", now)
redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", now)
redis.call("ZREMRANGEBYSCORE", KEYS[5], "-inf", now)
local ends = tonumber(redis.call("ZSCORE", KEYS[3], visitor)
  or redis.call("ZSCORE", KEYS[5], visitor))
local wrote = false
local function let_in()
  ends, wrote = now + pass, true
  redis.call("ZADD", KEYS[3], ends, visitor)
end
if redis.call("ZREM", KEYS[2], visitor) == 1 then let_in() end
if lot ~= "" and not ends and not redis.call("ZSCORE", KEYS[1], visitor) then
  local place = lot
  if now >= opens_at then place = redis.call("HINCRBY", KEYS[4], "arrivals", 1) end
  redis.call("ZADD", KEYS[1], place, visitor)
  wrote = true
end

local free = 0
if now >= opens_at then
  free = allowance - redis.call("ZCARD", KEYS[2]) - redis.call("ZCARD", KEYS[3])
end
local heads = free > 0 and redis.call("ZPOPMIN", KEYS[1], math.min(free, BATCH)) or {}
for n = 1, #heads, 2 do
  wrote = true
  if heads[n] == visitor then let_in() else
    redis.call("ZADD", KEYS[2], now + call, heads[n])
  end
end

-- How fast people go in: admissions since the room was full for the first time. Who
-- asks without an allowance cannot know whether it is.
local minute, this, before = math.floor(now / MINUTE), meta.this or 0, meta.before or 0
if meta.minute ~= minute then
  before, this = meta.minute == minute - 1 and this or 0, 0
end
if meta.filled_at and #heads > 0 then
  this = this + #heads / 2
  redis.call("HSET", KEYS[4], "minute", minute, "this", this, "before", before)
elseif not meta.filled_at and now >= opens_at and allowance > 0
  and free <= #heads / 2 and redis.call("ZCARD", KEYS[1]) > 0 then
  meta.filled_at = now
  redis.call("HSET", KEYS[4], "filled_at", now)
end
local span = math.min(MINUTE + now % MINUTE, now - (meta.filled_at or now))

local keep_until = tonumber(ARGV[5]) or meta.keep_until
if wrote and keep_until then
  redis.call("HSET", KEYS[4], "keep_until", keep_until)
  for n = 1, 5 do redis.call("PEXPIREAT", KEYS[n], keep_until) end
end
if ends then return {"inside", 0, ends, this + before, span, now} end
local ahead = redis.call("ZRANK", KEYS[1], visitor)
if not ahead then return {"outside", 0, 0, this + before, span, now} end
return {now < opens_at and "early" or "waiting", ahead, 0, this + before, span, now}
