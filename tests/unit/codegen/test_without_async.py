"""Source without ``async`` and ``await``."""

from __future__ import annotations

import pytest

from coherd.codegen.without_async import without_async


@pytest.mark.parametrize(
    ("text", "blocking"),
    [
        ("async def get(self) -> V: ...", "def get(self) -> V: ..."),
        ("async with cache as c:\n    async for x in y: ...", "with cache as c:\n    for x in y: ..."),
        ("async def __aenter__(self)", "def __enter__(self)"),
        ("return list((await self.f(a(b))).tags)", "return list(self.f(a(b)).tags)"),
        ("x = (await f())[k]", "x = f()[k]"),
        ("return bool(await f(1))", "return bool(f(1))"),
        ("g = (await f() or 1)", "g = (f() or 1)"),
        ("def f(l: Callable[P, Awaitable[V | None] | V]) -> V", "def f(l: Callable[P, V]) -> V"),
        ("Awaitable[Mapping[Any, V[int]]] | Mapping[Any, V[int]],", "Mapping[Any, V[int]],"),
        ("awaited = asynchronous", "awaited = asynchronous"),
    ],
)
def test_text(text: str, blocking: str) -> None:
    assert without_async(text) == blocking


@pytest.mark.parametrize("text", ["def f() -> Awaitable[int]: ...", "Awaitable[int | int", "(await f("])
def test_what_has_no_blocking_form_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"Awaitable|bracket"):
        without_async(text)
