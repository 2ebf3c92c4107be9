"""dogpile.cache over Coherd; needs the extra ``[dogpile]``::

    region = make_region().configure(
        "dogpile.cache.coherd",
        expiration_time=300,
        arguments={"target": "localhost:50051", "domain": "content", "ttl_s": 3600},
    )

See ``docs/use/dogpile.md``.
"""

from __future__ import annotations

from dogpile.cache import register_backend

from coherd.contrib.dogpile.backend import CoherdBackend
from coherd.contrib.dogpile.mutex import CoherdMutex

__all__ = ["CoherdBackend", "CoherdMutex"]

# Also an entry point of the distribution; this serves whoever imports the module from a source tree.
register_backend("dogpile.cache.coherd", "coherd.contrib.dogpile.backend", "CoherdBackend")  # type: ignore[no-untyped-call]
