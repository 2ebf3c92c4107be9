"""Adapters: the ports of `coherd_server.domain` over Redis and Valkey."""
