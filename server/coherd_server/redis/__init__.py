"""Adapters: the ports of `coherd_server.core` over Redis and Valkey."""
