-- Asks one thing again and again. METHOD, TARGET, BODY and HEADERS (one a line) come from the environment; in the target and the body
-- @N@ stands for a number that no other request of the run has, @D@ for its last digit and @T@ for 1 or 2 in turn.
local method, target, body = os.getenv("METHOD"), os.getenv("TARGET"), os.getenv("BODY")
local varied = string.find(target .. body, "@", 1, true) ~= nil
local first, counter = tonumber(os.getenv("FIRST")), 0

function init()
  for name, value in string.gmatch(os.getenv("HEADERS"), "([^:\n]+): ([^\n]+)") do
    wrk.headers[name] = value
  end
  wrk.method = method
end

local function fill(text, number)
  return (string.gsub(string.gsub(string.gsub(text, "@N@", number), "@D@", number % 10), "@T@", number % 2 + 1))
end

local plain

function request()
  if not varied then
    plain = plain or wrk.format(method, target, nil, body ~= "" and body or nil)
    return plain
  end
  counter = counter + 1
  return wrk.format(method, fill(target, first + counter), nil, fill(body, first + counter))
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "seconds": %.6f, "bytes": %d, "refused": %d, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
