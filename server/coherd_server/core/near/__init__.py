"""Near caches, the server's side: what the log says, who holds what, and who has dropped it. Policy over ports."""
