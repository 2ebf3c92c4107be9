"""Eviction policies on real accesses: ``python -m tests.benchmarks.eviction TRACE …`` (ADR 10).

`candidates` are the near cache's own queues and what one could have taken instead.
"""
