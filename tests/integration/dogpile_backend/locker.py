"""A process that takes a lock, says so, and works until it is killed; or gives it back when told."""

from __future__ import annotations

import sys
import time

from coherd.contrib.dogpile import CoherdBackend

target, key, hold_s = sys.argv[1:]
mutex = CoherdBackend({"target": target, "domain": "content", "lock_lease_s": 2.0}).get_mutex(key)
assert mutex is not None
mutex.acquire()
print("held", flush=True)
if hold_s == "until told":
    sys.stdin.readline()
else:
    time.sleep(float(hold_s))
mutex.release()
print("released", flush=True)
