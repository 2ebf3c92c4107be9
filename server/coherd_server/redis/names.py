"""The names in Redis: every one gets the deployment's prefix here and nowhere else."""

from __future__ import annotations


class Names:
    """Full names of what one deployment stores.

    Args:
        prefix: goes before every name; without braces, which would change the hash slot.
    """

    def __init__(self, prefix: str) -> None:
        self.value_prefix = prefix
        """A value's full name is this and its key."""
        self.own_prefix = f"{prefix}coherd:"
        """All names begin with it that are not those of values."""
        self.epoch_prefix = f"{prefix}coherd:epoch:"
        """An epoch's full name is this and its tag."""
        self.counters_prefix = f"{prefix}coherd:counters:"
        """The full name of a domain's counters is this and the domain."""
        self._lease_prefix = f"{prefix}coherd:lease:{{"
        self._waiting_prefix = f"{prefix}coherd:waiting:{{"

    def value_and_lease(self, key: str) -> tuple[str, str]:
        """Both are in one hash slot."""
        name = self.value_prefix + key
        return name, f"{self._lease_prefix}{name}}}"

    def of_key(self, key: str) -> tuple[str, str, str]:
        """The value's name, that of its lease and that of what is there while somebody waits; all in one hash slot."""
        name = self.value_prefix + key
        return name, f"{self._lease_prefix}{name}}}", f"{self._waiting_prefix}{name}}}"

    def waiting(self, key: str) -> str:
        """What is there while somebody waits for a key; in the key's hash slot."""
        return f"{self._waiting_prefix}{self.value_prefix}{key}}}"


def log_name(prefix: str) -> str:
    """Full name of the log of changes."""
    return f"{prefix}coherd:log"


def registry_name(prefix: str) -> str:
    """Full name of the registry of who follows the log, in the log's hash slot."""
    return f"{prefix}coherd:replicas:{{{log_name(prefix)}}}"
