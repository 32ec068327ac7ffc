-- Lines of counters and timers for Graphite, named as StatsD names them.

local util = require "util"

local M = {}

local function whole_or_float(x)
    return math.floor(x) == x and string.format("%d", x) or string.format("%f", x)
end

--- A counter's count and rate.
---@param bucket string name of the counter
---@param count number
---@param interval number seconds in which it was counted
---@param now number seconds since 1970
---@return string lines
function M.count_rate(bucket, count, interval, now)
    now = math.floor(now)
    return string.format("stats.counters.%s.count %s %d\nstats.counters.%s.rate %f %d\n", bucket, whole_or_float(count), now, bucket, count / interval, now)
end

--- Counts and rates of many counters, by name.
---@param counts table<string, number>
---@param interval number seconds in which they were counted
---@param now number seconds since 1970
---@return string lines
function M.multi_counts_rates(counts, interval, now)
    local lines = {}
    for bucket, count in util.pairs_by_key(counts) do
        lines[#lines + 1] = M.count_rate(bucket, count, interval, now)
    end
    return table.concat(lines)
end

--- A timer's count, count_ps, lower, upper, sum, mean, and mean and upper of its lowest `percent`.
---@param bucket string name of the timer
---@param times number[]
---@param interval number seconds in which they were taken
---@param percent number such as 90
---@param now number seconds since 1970
---@return string lines
function M.timeseries_metrics(bucket, times, interval, percent, now)
    local sorted = table.move(times, 1, #times, 1, {})
    table.sort(sorted)
    local count = #sorted
    local kept = count - math.floor((100 - percent) / 100 * count + 0.5)
    local sum, kept_sum = 0, 0
    for i, time in ipairs(sorted) do
        sum = sum + time
        kept_sum = i <= kept and sum or kept_sum
    end
    local lower, upper = sorted[1] or 0, sorted[count] or 0
    local lines = {}
    local function line(name, value)
        lines[#lines + 1] = string.format("stats.timers.%s.%s %s %d\n", bucket, name, value, math.floor(now))
    end
    local function float(name, value)
        line(name, string.format("%f", value))
    end
    line("count", string.format("%d", count))
    float("count_ps", count / interval)
    float("lower", lower)
    float("upper", upper)
    float("sum", sum)
    float("mean", count > 0 and sum / count or 0)
    float("mean_" .. whole_or_float(percent), kept > 0 and kept_sum / kept or lower)
    float("upper_" .. whole_or_float(percent), kept > 0 and sorted[kept] or upper)
    return table.concat(lines)
end

--- The metrics of many timers, by name.
---@param timers table<string, number[]>
---@param interval number seconds in which they were taken
---@param percent number such as 90
---@param now number seconds since 1970
---@return string lines
function M.multi_timeseries_metrics(timers, interval, percent, now)
    local lines = {}
    for bucket, times in util.pairs_by_key(timers) do
        lines[#lines + 1] = M.timeseries_metrics(bucket, times, interval, percent, now)
    end
    return table.concat(lines)
end

--- Whole seconds of nanoseconds.
---@param ns number
---@return integer
function M.ns_to_sec(ns)
    return math.floor(ns // 1000000000)
end

return M
