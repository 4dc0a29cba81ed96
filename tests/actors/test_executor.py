"""The loop in one process."""

import asyncio
import os
import signal
from typing import Any

import numpy as np
import pytest

from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as Chain
from camagick.flow.fanout import Processor as Fanout
from camagick.pipe.idem import Processor as Idem
from camagick.pipe.npfun import Processor as Npfun
from camagick.pipe.pace import Processor as Pace
from camagick.pipe.rename import Processor as Rename
from camagick.pipe.reshape import Processor as Reshape
from camagick.pipe.slice import Processor as Slice
from camagick.pipe.stack import Processor as Stack
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.sink.summary import Processor as Summary
from camagick.source.scratch import Processor as Scratch


class Counting(ProcessorBase):
    """Counts its calls, and does something at one of them."""

    role: Role = "source"

    def __init__(self, at: int = 0, action: Any = None) -> None:
        self.at, self.action = at, action
        self.calls = 0
        self.started = self.stopped = 0

    async def startup(self) -> None:
        self.started += 1

    async def shutdown(self) -> None:
        self.stopped += 1

    def process(self, data, context):
        assert not context
        self.calls += 1
        if self.calls == self.at:
            self.action()
        return {"n": self.calls}


def raise_(error: BaseException) -> Any:
    def action() -> None:
        raise error

    return action


def test_count():
    source = Counting()
    asyncio.run(PipeExecutor(source).run(5))
    assert (source.calls, source.started, source.stopped) == (5, 1, 1)


def test_the_end_of_data_ends_the_loop():
    source = Counting(3, raise_(EndOfData()))
    asyncio.run(PipeExecutor(Chain(source)).run())
    assert (source.calls, source.stopped) == (3, 1)


def test_the_end_of_data_in_a_branch_ends_the_loop():
    source = Counting(3, raise_(EndOfData()))
    asyncio.run(PipeExecutor(Fanout(source, Idem())).run())
    assert (source.calls, source.stopped) == (3, 1)


def test_an_error_ends_the_loop_and_everything_is_shut_down():
    source, other = Counting(2, raise_(ValueError("oops"))), Counting()
    with pytest.raises(ValueError, match=r"^oops$"):
        asyncio.run(PipeExecutor(Chain(source, Rename("{}_a"), other)).run())
    assert (source.stopped, other.stopped) == (1, 1)


def test_an_error_at_the_start_shuts_everything_down():
    class Broken(ProcessorBase):
        async def startup(self) -> None:
            raise OSError("no device")

        def process(self, data, context):
            return data

    source = Counting()
    with pytest.raises(OSError, match="no device"):
        asyncio.run(PipeExecutor(Chain(source, Broken())).run())
    assert (source.calls, source.stopped) == (0, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_loop_that_never_waits(number):
    source = Counting(10, lambda: os.kill(os.getpid(), number))
    asyncio.run(PipeExecutor(Chain(source, Idem())).run())
    assert source.stopped == 1


def test_signals_end_a_loop_that_waits():
    source = Counting(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    asyncio.run(PipeExecutor(Chain(source, Pace(s=1000), Pace(s=1000))).run())
    assert source.stopped == 1


def test_cancelled_from_outside_it_is_cancelled():
    source = Counting()

    async def main() -> None:
        async with asyncio.timeout(0):
            await PipeExecutor(source).run()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("others", "alone"),
    [([], True), ([Idem()], True), ([Scratch("zeros", "b")], False), ([Pace(Hz=1)], False)],
    ids=["one source", "with a pipe", "two sources", "with a pace"],
)
def test_placement(others, alone):
    source = Scratch("zeros", "a")
    asyncio.run(PipeExecutor(Chain(source, *others)).run(0))
    assert source.placement.alone == alone


def test_the_second_example_of_the_document(capsys):
    chain = Chain(
        Scratch("random", foo=2048, rate=0),
        Fanout(
            Rename("{}_original"),
            Chain(Reshape(64, 32), Rename("{}_image")),
            Chain(Slice(":"), Npfun("sum"), Rename("{}_roi"), Stack()),
        ),
        Summary(mode="table"),
    )
    asyncio.run(PipeExecutor(chain).run(2))
    cells = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert cells[0] == ["# foo_original", "foo_image", "foo_roi"]
    assert cells[2] == [
        f"shape={shape} <class 'float'>" for shape in ("(2048,)", "(64, 32)", "(2,)")
    ]


def test_a_function_as_a_source(capsys):
    async def my_source(data=None, context=None):
        return {"custom": np.sin(np.arange(3.0))}

    asyncio.run(PipeExecutor(Chain(my_source, Summary())).run(1))
    assert capsys.readouterr().out == "custom: shape=(3,) <class 'float'>\n"
