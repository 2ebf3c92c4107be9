"""``coherd get``, ``set``, ``delete``, ``touch``: one entry by its key."""

from __future__ import annotations
