"""How requests of the verbs reach a server: a protocol, and unary calls under it."""
