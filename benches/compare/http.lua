-- For wrk: sends a pseudo-random one of the ready requests, whose header lines are in the file that is the argument after
-- `--`, and tells what came back in one line that starts with RESULT.

local requests = {}

function init(arguments)
   math.randomseed(7)
   for line in io.lines(arguments[1]) do
      local name, value = line:match("^([^:]+): (.*)$")
      local headers = { ["User-Agent"] = arguments[2], ["Accept"] = arguments[3], [name] = value }
      requests[#requests + 1] = wrk.format("GET", "/", headers)
   end
end

function request()
   return requests[math.random(#requests)]
end

function done(summary, latency)
   local errors = summary.errors
   local lost = errors.connect + errors.read + errors.write + errors.timeout
   local result = "RESULT %d %d %.0f %.0f %d %d\n"
   io.write(result:format(summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), lost, errors.status))
end
