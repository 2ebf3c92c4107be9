"""A Python process that is spoken to in lines: what a subject needs where one process is not enough."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.benchmarks.contenders import PATIENCE_S

_ROOT: Final = Path(__file__).parents[2]


class LineProcess:
    """Started by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, module: str) -> None:
        self._process = process
        self._module = module

    @classmethod
    async def start(cls, stack: AsyncExitStack, module: str, *args: str) -> LineProcess:
        """Run ``python -m module args``; ended with the stack."""
        command = (sys.executable, "-m", module, *args)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdin=pipe, stdout=pipe)
        started = cls(process, module)
        stack.push_async_callback(started.end)
        return started

    def say(self, line: str) -> None:
        """Send a line."""
        stdin = self._process.stdin
        if stdin is None:
            raise AssertionError("stdin is a pipe")
        stdin.write(f"{line}\n".encode())

    async def hear(self) -> str:
        """Its next line.

        Raises:
            RuntimeError: it ended instead; what it says of that is on standard error.
            TimeoutError: it said nothing within `PATIENCE_S`.
        """
        stdout = self._process.stdout
        if stdout is None:
            raise AssertionError("stdout is a pipe")
        async with asyncio.timeout(PATIENCE_S):
            line = await stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} has ended")
        return line.decode().strip()

    async def end(self) -> None:
        """Close its input, and kill it if that does not end it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
