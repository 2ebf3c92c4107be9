"""Replaying an access trace through the typed client, and checking what came out (docs/use/replay.md).

`trace` and `workload` make the requests, `trace` computes what must come out, `engine` runs them, `statistics` and
`report` say what happened. Only `engine` knows an event loop; none knows a socket.
"""
