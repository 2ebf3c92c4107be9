"""The client's near cache: values kept in the process, coherent by pushes and a lease (P2).

Pure: no I/O, no clock, no randomness, no event loop; times are arguments. docs/use/near-cache.md explains it.
"""

from coherd._near.cache import NearCache
from coherd._near.domains import NearDomain
from coherd._near.kept import Kept
from coherd._near.pending_reads import PendingRead
from coherd._near.statistics import NearStatistics
from coherd._near.turns import Turns
from coherd.contract.near_cache import NearCacheMode

__all__ = ["Kept", "NearCache", "NearCacheMode", "NearDomain", "NearStatistics", "PendingRead", "Turns"]
