"""What client and server share and neither may bend: keys, tags, TTL policy, entry bytes, catalog, reasons.

Pure code: no clock, socket, event loop or randomness in here; time and random numbers are arguments.
"""
