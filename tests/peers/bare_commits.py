"""Deliveries committed to SQLite one after the other, with nothing around it: the least a durable answer costs."""

import json
import sys
import time

from receiving import Log

path, seconds, body = sys.argv[1], float(sys.argv[2]), b"x" * 1000
log, took = Log(path), []
started = time.perf_counter()
while (begun := time.perf_counter()) < started + seconds:
    log.append(body)
    took.append(time.perf_counter() - begun)
took.sort()
print(
    json.dumps({"per_second": len(took) / seconds, "p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]})
)
