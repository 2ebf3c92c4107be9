"""Who may do what (docs/operate/security.md). Pure: principals in, decisions out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from coherd.catalog.declared import DomainSpec
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason


class Action(enum.Enum):
    """What a caller does in a domain."""

    READ = "read"
    WRITE = "write"
    """Set, fill, touch, delete."""
    INVALIDATE = "invalidate"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as its credential names it; ``name`` is None for one without a credential."""

    name: str | None = None


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Access:
    """The rules in force."""

    configured: bool = False
    """Whether any credential is configured. If not, everybody who can connect (loopback only) may do everything that
    no domain reserves for named principals."""

    def check(self, principal: Principal, domain: DomainSpec, action: Action) -> None:
        """Raises:
        Refusal: UNAUTHENTICATED or PERMISSION_DENIED, naming the domain and the action.
        """
        match action:
            case Action.READ:
                allowed = domain.readers
            case Action.WRITE:
                allowed = domain.writers
            case Action.INVALIDATE:
                allowed = domain.invalidators
        if principal.name is None:
            if allowed or (self.configured and domain.sensitive):
                raise Refusal(
                    ErrorReason.ERROR_REASON_UNAUTHENTICATED,
                    f"domain {domain.name!r} needs a credential to {action.value}",
                )
        elif allowed and principal.name not in allowed:
            raise Refusal(
                ErrorReason.ERROR_REASON_PERMISSION_DENIED,
                f"this principal may not {action.value} in domain {domain.name!r}",
            )
