"""Flows in this process whose standard input is what a test writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as ChainFlow
from camagick.processor import ProcessorBase, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick.data import Data


class Collect(ProcessorBase):
    """Keep what comes."""

    role: Role = "sink"

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.last: Data | None = None

    def process(self, data: Data, context: Data) -> None:
        self.rows.append(dict(data))
        self.last = data


@contextlib.contextmanager
def standard_input(content: bytes) -> Iterator[None]:
    """Let bytes be what comes through a pipe to standard input."""
    read, write = os.pipe()
    kept = os.dup(0)
    os.dup2(read, 0)
    os.close(read)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write, "wb") as stream:
            stream.write(content)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 0)  # which closes the last reader, and so ends the thread
        os.close(kept)
        thread.join(10)
        assert not thread.is_alive()


def run(*nodes: ProcessorBase, count: int | None = None) -> None:
    """Run a chain to its end."""
    asyncio.run(asyncio.wait_for(PipeExecutor(ChainFlow(*nodes)).run(count), 30))


def collect(source: ProcessorBase, count: int | None = None) -> list[dict[str, Any]]:
    """Return what a source gives."""
    sink = Collect()
    run(source, sink, count=count)
    return sink.rows


def piped(content: bytes | str, source: ProcessorBase) -> list[dict[str, Any]]:
    """Return what a source makes of its standard input."""
    with standard_input(content.encode() if isinstance(content, str) else content):
        return collect(source)
