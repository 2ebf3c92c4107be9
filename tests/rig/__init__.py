"""Real Redis and Valkey processes for tests: standalone, cluster, Sentinel, and a proxy that injects faults."""
