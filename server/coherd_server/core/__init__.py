"""Policy: what is valid, what a read or write means, who may do it. Knows ports, not Redis or gRPC."""
