"""The gRPC face: bytes in, domain calls, bytes out. The only layer that knows gRPC."""
