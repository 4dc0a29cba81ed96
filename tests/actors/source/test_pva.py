"""--from-pva against a C IOC, and p4p's own server in another process."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.errors import BadOption, CamagickError
from camagick.processor import Placement
from camagick.source.pva import Processor
from camagick.testing import check_processor
from tests.servers.pva import Peer, pattern, pva_env

pytest.importorskip("p4p")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from camagick.data import Data

DEADLINE = 5.0


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with pva_env() as env:
        one = Peer(env)
        yield one
        one.close()


@pytest.fixture(autouse=True)
def _variables(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.startswith("EPICS_")]:
        monkeypatch.delenv(key)
    for key, value in peer.env.items():
        monkeypatch.setenv(key, value)


@asynccontextmanager
async def running(*words: str, known: Any = None, **options: Any) -> AsyncIterator[Processor]:
    node = Processor(*words, **options)
    if known is not None:
        node.placement = Placement(incarnation=2)
    try:
        async with asyncio.timeout(DEADLINE):
            await node.startup()
            if known is not None:
                node.recall([known])
            yield node
    finally:
        await node.shutdown()


async def there(node: Processor) -> None:
    """Wait until all PVs have said something."""
    while node._client is None or node._client.silent():  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.005)


async def rows(node: Processor, count: int) -> list[Data]:
    return [await node() for _ in range(count)]


def test_contract(peer: Peer) -> None:
    peer.tell("scalar", name="contract", value=1.0)
    check_processor(lambda: Processor("contract", mode="continuous", dwell=0))


@pytest.mark.parametrize(
    ("words", "options", "why"),
    [
        ((), {}, "needs a PV"),
        (("a#",), {}, "neither PV nor"),
        (("a",), {"tag": "#b"}, "neither PV nor"),
        (("X:a",), {"X_a": "Y"}, "comes twice"),
        (("a",), {"mode": "often"}, "mode=often"),
        (("a",), {"queue": "-1"}, "queue=-1"),
        (("a",), {"queue": 0}, "queue=0"),
        (("a",), {"dwell": "x"}, "dwell=x"),
        (("a",), {"when": "b"}, "PV==VALUE"),
    ],
)
def test_bad_options_are_named(words: Any, options: Any, why: str) -> None:
    with pytest.raises(BadOption, match=why):
        Processor(*words, **options)


def test_images_have_rows_and_columns(peer: Peer) -> None:
    async def look() -> None:
        for name, shape, mode, expected in [
            ("mono", (3, 5), None, (3, 5)),
            ("rgb1", (3, 5, 3), 2, (3, 5, 3)),
            ("rgb2", (4, 3, 5), 3, (4, 5, 3)),
            ("rgb3", (3, 4, 5), 4, (4, 5, 3)),
        ]:
            peer.image(name, shape, 7, mode=mode, when=12.25)
            async with running(name) as node:
                [row] = await rows(node, 1)
            sent = pattern(shape, "u2", 0)
            axis = {"rgb2": 1, "rgb3": 0}.get(name)
            wanted = sent if axis is None else np.moveaxis(sent, axis, 2)
            assert row[name].shape == expected
            assert row[name].dtype == np.uint16
            np.testing.assert_array_equal(row[name], wanted)
            known = row.attributes(name)
            assert known["uniqueId"] == 7
            assert known["timestamp"] == 12.25
            assert known["severity"] == 0

    asyncio.run(look())


@pytest.mark.parametrize("codec", ["lz4", "blosc", "bslz4", "jpeg"])
@pytest.mark.parametrize("say", [True, False])
def test_compressed_images_are_what_they_were(peer: Peer, codec: str, say: bool) -> None:
    pytest.importorskip("imagecodecs")
    # Odd sizes: blocks, the rest in eights, and less than eight elements.
    shape, dtype = ((64, 72), "u1") if codec == "jpeg" else ((101, 97), "u2")

    async def look() -> None:
        peer.image(codec, shape, 1, codec=codec, dtype=dtype, seed=3, say=say)
        async with running(codec) as node:
            [row] = await rows(node, 1)
        sent = pattern(shape, dtype, 3)
        assert row[codec].dtype == sent.dtype
        if codec == "jpeg":
            assert row[codec].shape == shape
            assert abs(row[codec].astype(int) - sent).mean() < 8
        else:
            np.testing.assert_array_equal(row[codec], sent)

    asyncio.run(look())


def test_what_cannot_be_decompressed_is_said_and_the_rest_goes_on(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    async def look() -> None:
        peer.image("odd", (2, 2), 1)
        async with running("odd") as node:
            await rows(node, 1)
            peer.image("odd", (2, 2), 2, codec="zfp")
            peer.image("odd", (2, 2), 3, codec="zfp")
            peer.image("odd", (2, 2), 4, seed=9)
            [row] = await rows(node, 1)
            assert row.attributes("odd")["uniqueId"] == 4
            assert node.figures()["unreadable"] == 2

    asyncio.run(look())
    said = [record.getMessage() for record in caplog.records if "zfp" in record.getMessage()]
    assert len(said) == 1
    assert "known are blosc" in said[0]


def test_missing_images_are_counted(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        peer.image("gaps", (2, 2), 5)
        async with running("gaps") as node:
            await rows(node, 1)
            for number in (6, 9, 10, 2, 3, 103):
                peer.image("gaps", (2, 2), number)
                await rows(node, 1)
            assert node.figures() == {"overruns": 0, "missed_frames": 101, "unreadable": 0}

    asyncio.run(look())
    assert sum("images are missing" in record.getMessage() for record in caplog.records) == 1


def test_a_table_is_a_tag_per_column(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("table", name="tab", columns={"x": [1.0, 2.0], "name": ["a", "b"]})
        async with running(t="tab") as node:
            [row] = await rows(node, 1)
        assert list(row) == ["t_x", "t_name"]
        np.testing.assert_array_equal(row["t_x"], [1.0, 2.0])
        assert row["t_name"].tolist() == ["a", "b"]

    asyncio.run(look())


def test_fields_of_a_structure_come_from_one_update(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("structure", name="GRP:one", a=1.5, b="here")
        words = ("GRP:one#position.value", "GRP:one#motor")
        async with running(*words, where="GRP:one#position.text") as node:
            [row] = await rows(node, 1)
            peer.tell("structure", name="GRP:one", a=2.0, b="there")
            [again] = await rows(node, 1)
        assert list(row) == ["GRP_one_position_value", "GRP_one_motor", "where"]
        assert list(row.values()) == [1.5, 1, "here"]
        assert list(again.values()) == [2.0, 2, "there"]

    asyncio.run(look())


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("GRP:two", "my:group with the fields position, motor: name one of them, PV#field"),
        ("GRP:two#position.speed", "no field 'position.speed': at 'speed' there are value, text"),
    ],
)
def test_a_structure_is_refused_with_its_fields(peer: Peer, word: str, why: str) -> None:
    peer.tell("structure", name="GRP:two", a=1.5, b="here")

    async def look() -> None:
        async with running(word) as node:
            with pytest.raises(CamagickError, match=why):
                await node()

    asyncio.run(look())


def test_a_long_text_is_whole(peer: Peer) -> None:
    """A C IOC cuts a string at 39 bytes; no other server has to."""
    text = "kein bißchen kürzer, " * 1000

    async def look() -> None:
        async with running("words") as node:
            [row] = await rows(node, 1)
        assert row["words"] == text

    peer.tell("scalar", name="words", value=text, code="s")
    asyncio.run(look())


def test_every_update_is_an_iteration(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("burst", name="counter", count=1)
        async with running("counter") as node:
            seen = [(await rows(node, 1))[0]["counter"]]
            peer.tell("burst", name="counter", count=2000, first=1)
            while seen[-1] != 2000:
                seen.append((await rows(node, 1))[0]["counter"])
        assert seen == sorted(set(seen))  # never twice
        assert len(seen) == 2001

    asyncio.run(look())


def test_units_that_change_are_seen(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("scalar", name="length", value=1.0, units="mm")
        async with running("length") as node:
            units = []
            for more in ({}, {"units": "m"}, {}):
                units.append((await rows(node, 1))[0].attributes("length")["units"])
                peer.tell("scalar", name="length", value=2.0, **more)
        assert units == ["mm", "mm", "m"]

    asyncio.run(look())


def test_a_slow_pipe_keeps_what_the_queue_holds_and_counts_the_rest(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("burst", name="many", count=1)
        async with running("many", queue=10) as node:
            await rows(node, 1)
            peer.tell("burst", name="many", count=100, first=1)
            while node.figures()["overruns"] < 90:  # noqa: ASYNC110 - a figure wakes nobody
                await asyncio.sleep(0.01)
            assert [row["many"] for row in await rows(node, 10)] == list(range(91, 101))

    asyncio.run(look())


def test_a_condition_starts_an_iteration(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("scalar", name="X:value", value=1.0)
        peer.tell("scalar", name="X:mark", value=1, code="i")
        async with running("X:value", when="X:mark==0", dwell=0) as node:
            waiting = asyncio.ensure_future(node())
            await there(node)
            assert not waiting.done()
            peer.tell("scalar", name="X:mark", value=0, code="i")
            assert dict(await waiting) == {"X_value": 1.0}

    asyncio.run(look())


def test_a_successor_does_not_repeat_the_last_update(peer: Peer) -> None:
    async def look() -> None:
        peer.tell("scalar", name="last", value=1.0, when=77.5)
        async with running("last") as node:
            [row] = await rows(node, 1)
            known = node.remember()
        assert row["last"] == 1.0
        async with running("last", known=known) as node:
            waiting = asyncio.ensure_future(node())
            await there(node)
            peer.tell("scalar", name="last", value=1.0, when=78.5)
            assert (await waiting).attributes("last")["timestamp"] == 78.5

    asyncio.run(look())


def test_what_waited_in_a_killed_source_is_counted(
    peer: Peer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest is said again by the server, and so it is not lost."""

    left: dict[str, bytes] = {}

    def kept() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    async def look(known: Any, *, killed: bool) -> tuple[list[int], Any, Any]:
        nonlocal left
        node = Processor("waited", mode="every")
        node.placement = Placement(run_dir=str(tmp_path), number=1, incarnation=1 + bool(known))
        async with asyncio.timeout(DEADLINE):
            await node.startup()
            node.recall([known] if known else [])
            got = [int((await node())["waited"])]
            if killed:
                for number in range(1, 9):
                    peer.tell("scalar", name="waited", value=number, code="l", when=number + 0.5)
                got += [int((await node())["waited"]) for _ in range(3)]
                while node._trigger.newest["waited"].value != 8:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                left = kept()
            found = node.remember(), node.figures()["overruns"]
            await node.shutdown()
        assert not kept(), "who ends by itself leaves nothing"
        return got, *found

    peer.tell("scalar", name="waited", value=0, code="l", when=0.5)
    got, known, lost = asyncio.run(look(None, killed=True))
    assert (got, lost) == ([0, 1, 2, 3], 0)
    for name, content in left.items():  # as a kill leaves it
        (tmp_path / name).write_bytes(content)
    assert asyncio.run(look(known, killed=False))[::2] == ([8], 4)
    assert 'had not yet handed on is lost" overruns=4' in caplog.text


def test_a_pv_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        async with running("NOT:there", timeout=0.2, strict=True) as node:
            with pytest.raises(CamagickError, match=r"no answer from NOT:there within 0\.2 s"):
                await node()

    asyncio.run(look())
    assert "PV does not answer" in caplog.text
