"""The client's near cache: values kept in the process, coherent by pushes and a lease (P2).

Pure: no I/O, no clock, no randomness, no event loop; times are arguments. docs/near-cache.md explains it.
"""

from coherd.contract.declared import NearCacheMode
from coherd.near_cache.cache import NearCache
from coherd.near_cache.domains import NearDomain
from coherd.near_cache.kept import Kept
from coherd.near_cache.marks import Mark
from coherd.near_cache.statistics import NearStatistics

__all__ = ["Kept", "Mark", "NearCache", "NearCacheMode", "NearDomain", "NearStatistics"]
