"""Twins are compared where both are built."""

from __future__ import annotations

from rig.native import COMPILED

collect_ignore = [] if COMPILED else ["test_equal_twins.py", "test_hostile_bytes.py", "test_compiled_memory.py"]
