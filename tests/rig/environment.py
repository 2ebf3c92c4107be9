"""What programs that tests start inherit of the environment."""

from __future__ import annotations

import os

from coherd._native import SWITCHES


def inherited_environment() -> dict[str, str]:
    """All but what would be a setting of theirs; which implementation they use is as here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COHERD_") or name in SWITCHES}
