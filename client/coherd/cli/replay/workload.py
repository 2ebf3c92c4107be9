"""A synthetic workload with the shape of large production caches, for when there is no trace at hand.

Popularity is Zipf: the object of rank k is asked for with probability proportional to ``k ** -alpha``. Value sizes
follow the generalized Pareto distribution fitted for Facebook's ETC pool. Sources and figures (docs/use/replay.md):
J. Yang, Y. Yue, K. V. Rashmi, "A large scale analysis of hundreds of in-memory cache clusters at Twitter", OSDI 2020;
B. Atikoglu, Y. Xu, E. Frachtenberg, S. Jiang, M. Paleczny, "Workload analysis of a large-scale key-value store",
SIGMETRICS 2012. Everything is seeded: the same parameters give the same requests.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

PARETO_SCALE_BYTES: Final = 214.476
PARETO_SHAPE: Final = 0.348238
MIN_VALUE_BYTES: Final = 32
MAX_VALUE_BYTES: Final = 65_536
"""Sizes are cut here: the distribution has no upper end, a cache's value limit has."""


@dataclass(frozen=True, slots=True)
class ZipfWorkload:
    """Parameters of a workload."""

    requests: int = 20_000
    """Range: >= 1."""
    objects: int = 5_000
    """How many objects there are to ask for. Range: >= 1."""
    alpha: float = 1.2
    """Skew; 0: every object alike. Range: 0..5."""
    seed: int = 2020

    def ids(self) -> list[int]:
        """The object of each request, ``0..objects-1``; object 0 is the most popular."""
        cumulative = list(accumulate(math.pow(rank, -self.alpha) for rank in range(1, self.objects + 1)))
        total = cumulative[-1]
        last = self.objects - 1
        draw = random.Random(self.seed).random
        return [min(bisect_left(cumulative, draw() * total), last) for _ in range(self.requests)]

    def value_bytes(self, item: int | str) -> int:
        """Size of an object's value, the same each time it is asked for."""
        return pareto_size_bytes(random.Random(f"{self.seed}:{item}").random())


def pareto_size_bytes(draw: float) -> int:
    """Size of a value by the inverse of the distribution function.

    Args:
        draw: a random number in ``[0, 1)``.

    Returns:
        Bytes, in `MIN_VALUE_BYTES` .. `MAX_VALUE_BYTES`.
    """
    size = PARETO_SCALE_BYTES * (math.pow(1.0 - draw, -PARETO_SHAPE) - 1.0) / PARETO_SHAPE
    return max(MIN_VALUE_BYTES, min(MAX_VALUE_BYTES, round(size)))
