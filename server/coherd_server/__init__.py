"""The Coherd server. `coherd_server.app` builds it; nothing else sees all its parts."""
