"""`coherd serve` that takes three sessions, with fifty operations of each: ``python -m rig.small_limits serve …``."""

from __future__ import annotations

from dataclasses import replace

import coherd_server.rpc.sessions
from coherd.cli import main
from coherd_server.rpc.sessions import Sessions

_make = Sessions.__init__


def _small(self: Sessions, services: object, principals: object, hub: object, limits: object) -> None:
    _make(self, services, principals, hub, replace(limits, sessions=3, window=50))  # type: ignore[arg-type, type-var]


if __name__ == "__main__":
    coherd_server.rpc.sessions.Sessions.__init__ = _small  # type: ignore[method-assign, assignment]
    main()
