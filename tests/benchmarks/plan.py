"""How much is measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Plan:
    """Bounds of a run. A slice is one contender's turn in a round; it ends at whichever bound comes first."""

    rounds: int = 7
    slice_s: float = 0.5
    slice_calls: int = 20_000
    warm_up_s: float = 0.3
    stored_keys: int = 10_000
    """Keys every contender has stored before it is measured; also the entries whose memory is measured."""
    crowd_keys: int = 1_000_000
    """Keys that are there when a user is invalidated, the user's own included."""
    user_keys: tuple[int, ...] = (10, 1_000, 100_000)
    """Keys of the users that are invalidated; the first is what the others are compared with."""
    invalidations: int = 5
    """Invalidations of a user per round; their median counts. Only ours: it takes a thousandth of the others' time."""
    herd: int = 1_000
    """Callers that want one cold key at once, over all processes."""
    herd_processes: int = 4
    """Processes the herd is spread over."""
    load_ms: int = 100
    """How long loading takes then."""
    waits: int = 100
    """Keys per round that another process waits for."""
    pushes: int = 150
    """Invalidations per round that are seen to arrive in another process, and as many strict ones."""

    @classmethod
    def quick(cls) -> Self:
        """Enough to show that everything runs."""
        return cls(
            rounds=2,
            slice_s=0.2,
            slice_calls=5,
            warm_up_s=0.02,
            stored_keys=100,
            crowd_keys=300,
            user_keys=(5, 20, 100),
            invalidations=2,
            herd=20,
            herd_processes=2,
            load_ms=20,
            waits=5,
            pushes=5,
        )

    def with_rounds(self, rounds: int) -> Self:
        """The same with another number of rounds.

        Raises:
            ValueError: it is less than 1.
        """
        if rounds < 1:
            raise ValueError("at least one round is needed")
        return dataclasses.replace(self, rounds=rounds)
