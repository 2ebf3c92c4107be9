"""Loading what is not cached: once per process and, by leases, once over all processes [one-load].

`line` puts the callers of one key in this process in line and asks for its lease; `load` runs a loader and `leases`
keeps what it loads under; `desk` holds all of one event loop; `decide` decides, without clock, loop or transport.
"""
