"""``python -m coherd.codegen`` prints `include_dir`, for build scripts."""

from __future__ import annotations

from coherd.codegen import include_dir

print(include_dir())
