-- wrk sends one of the prepared requests, chosen at random, each time; prints what came of it.
local requests = {}

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   for head in file:read("*a"):gmatch("(.-\r\n\r\n)") do
      requests[#requests + 1] = head
   end
   file:close()
   math.randomseed(1)
end

function request()
   return requests[math.random(#requests)]
end

function done(summary)
   local failed = summary.errors
   local refused = failed.connect + failed.read + failed.write + failed.timeout + failed.status
   io.write(string.format("\n%d %d %d\n", summary.requests, summary.bytes, refused))
end
