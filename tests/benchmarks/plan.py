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

    @classmethod
    def quick(cls) -> Self:
        """Enough to show that everything runs."""
        return cls(rounds=2, slice_s=0.2, slice_calls=5, warm_up_s=0.02, stored_keys=400)

    def with_rounds(self, rounds: int) -> Self:
        """The same with another number of rounds.

        Raises:
            ValueError: it is less than 1.
        """
        if rounds < 1:
            raise ValueError("at least one round is needed")
        return dataclasses.replace(self, rounds=rounds)
