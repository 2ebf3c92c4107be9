"""Where the words, or a line, of a blocking twin differ from those of its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

Change: TypeAlias = tuple[str, str]
"""A phrase, which must be there, and what stands for it."""

_LOADING: Final[tuple[Change, ...]] = (
    (
        "loader: called with the key. A coroutine function runs in the event loop; any other callable in a thread.",
        "loader: a plain function, called with the key in the calling thread. In a thread of its own where the\n"
        "                caller need not wait for its end: behind a stale value, or with ``soft_timeout_ms``.",
    ),
    (
        "The load belongs to no caller: cancelling one, or all, leaves it running within its time limit, so that"
        " it is\n        stored. It is cancelled by ``load_timeout_ms`` and by `close`.",
        "After ``load_timeout_ms``, or `close`, a load is given up: its lease is given back, others load, and its"
        " result\n"
        "        is dropped. A loader that runs in the calling thread cannot be stopped: its own caller gets the error"
        " when it\n        returns. A caller that is interrupted while somebody else loads leaves that load alone.",
    ),
    (
        "Exception: whatever the loader raised,",
        "TypeError: the loader is a coroutine function.\n            Exception: whatever the loader raised,",
    ),
)
_CACHED: Final[tuple[Change, ...]] = (
    ("Callable as the function is, always with ``await``.", "Callable as the function is."),
    (
        "from coherd._loading.loader import call_loader\n",
        "from coherd.sync.loader import REFUSAL, is_coroutine_function\n",
    ),
    (
        "        self._cache = cache\n",
        "        if is_coroutine_function(function):\n"
        "            raise TypeError(REFUSAL)\n"
        "        self._cache = cache\n",
    ),
    ("call_loader(self.__wrapped__, *args, **kwargs)", "self.__wrapped__(*args, **kwargs)"),
    ("from coherd.verbs.loading import Loading", "from coherd.sync.verbs.loading import Loading"),
)
_CLIENT: Final[tuple[Change, ...]] = (
    ("The asynchronous client:", "The blocking client:"),
    (
        "One client serves any number of tasks and event loops, and works in processes forked later; make one per"
        " program.",
        "One client serves any number of threads, also such as run an event loop, and works in processes forked"
        " later;\n"
        "    make one per program. Its work is done in one event loop, in a daemon thread of the process.",
    ),
)
_CLIENT_IMPORT: Final[Change] = ("from coherd.client", "from coherd.sync.client")
_DEFAULT_IMPORT: Final[Change] = ("from coherd.compat.default_client", "from coherd.compat.sync.default_client")

WORDS: Final[Mapping[str, tuple[Change, ...]]] = {
    "verbs/loading.py": _LOADING,
    "_loading/cached.py": _CACHED,
    "client.py": _CLIENT,
    "compat/__init__.py": (
        (
            "The familiar names, as thin adapters over `coherd.CacheClient`: for code that is moved over call by call.",
            "The familiar names, blocking: thin adapters over `coherd.sync.CacheClient`.",
        ),
        (
            "for all event loops and forked children of the program",
            "for all threads and forked children of the program",
        ),
        _DEFAULT_IMPORT,
        ("from coherd.compat.redis_service", "from coherd.compat.sync.redis_service"),
        ("from coherd.compat.unified", "from coherd.compat.sync.unified"),
    ),
    "compat/default_client.py": (_CLIENT_IMPORT,),
    "compat/redis_service.py": (_CLIENT_IMPORT, _DEFAULT_IMPORT),
    "compat/unified.py": (
        _CLIENT_IMPORT,
        _DEFAULT_IMPORT,
        ("Errors are those of `coherd.CacheClient`", "Errors are those of `coherd.sync.CacheClient`"),
    ),
}
"""By module, relative to the package."""
