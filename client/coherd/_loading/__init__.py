"""Loading what is not cached: once per process (single-flight) and, by leases, once over all processes [one-load].

`get_or_load` and `many` begin for the verbs. `flights` holds the callers of one event loop, `flight` those of one key,
who share a Lease call. `load` runs a loader, `leases` keeps what it loads under. `decide` decides, without clock, event
loop or transport.
"""
