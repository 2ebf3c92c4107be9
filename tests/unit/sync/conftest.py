"""Blocking clients that other tests of this process forgot to close must not keep the loop's thread alive here."""

from __future__ import annotations

import gc

import pytest

from coherd.sync.loop_thread import LOOP


@pytest.fixture(autouse=True, scope="module")
def _a_loop_of_ones_own() -> None:
    gc.collect()
    for user in list(LOOP._users):
        LOOP.detach(user)
    LOOP.stop()
