"""The session: one stream per client and event loop, that carries operations in frames and keeps the near cache
coherent."""
