"""Both receivers on a line that breaks, stalls, and loses its channels as behind a gateway."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from camagick.errors import MissingExtra
from camagick.service import ca_receivers
from camagick.service.ca_reading import Form, Once, Reading
from camagick.service.ca_watch import NoAnswer, Watch
from camagick.source.epics import Processor
from tests.servers.caproxy import CaProxy
from tests.servers.ioc import SoftIoc, ca_env, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

DB = """
record(longout, "$(P)n") { field(VAL, "0") field(PINI, "YES") }
record(waveform, "$(P)w") { field(FTVL, "DOUBLE") field(NELM, "100000") }
"""


@pytest.fixture(scope="module")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftIoc]:
    with ca_env() as env:
        server = SoftIoc(env, DB, tmp_path_factory.mktemp("ioc"))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def line(ioc: SoftIoc, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaProxy]:
    """Point this process to the line, and to nothing else."""
    for key, value in ioc.env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # where libca finds no caRepeater to start
    with free_port() as port, CaProxy(port, int(ioc.env["EPICS_CAS_SERVER_PORT"])) as proxy:
        monkeypatch.setenv("EPICS_CA_ADDR_LIST", f"127.0.0.1:{port}")
        monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(port))
        yield proxy


@pytest.fixture(params=["caproto", "libca"])
def receiver(request: pytest.FixtureRequest) -> str:
    if request.param == "libca":
        pytest.importorskip("aioca")
    return str(request.param)


async def following(receiver: str, ioc: SoftIoc, disturb: Callable[[], None]) -> list[int]:
    """Return what a source says while its line is disturbed, and a value is put behind it."""
    source = Processor("TEST:n", mode="every", receiver=receiver)
    await source.startup()
    try:
        async with asyncio.timeout(30):
            seen = [int((await source())["TEST_n"])]
            await asyncio.to_thread(ioc.put, "n", seen[0] + 1)
            seen.append(int((await source())["TEST_n"]))
            await asyncio.to_thread(disturb)
            await asyncio.to_thread(ioc.put, "n", seen[0] + 2)
            while seen[-1] != seen[0] + 2:
                seen.append(int((await source())["TEST_n"]))
            return [number - seen[0] for number in seen]
    finally:
        await source.shutdown()


def test_a_broken_line_repeats_nothing(
    line: CaProxy, ioc: SoftIoc, receiver: str, caplog: pytest.LogCaptureFixture
) -> None:
    def disturb() -> None:
        line.cut()
        until(lambda: "PV connected again" in caplog.text)

    assert asyncio.run(following(receiver, ioc, disturb)) == [0, 1, 2]
    lines = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert lines == ['msg="PV disconnected" pv=TEST:n', 'msg="PV connected again" pv=TEST:n']


def test_channels_that_a_gateway_takes_away_come_back(
    line: CaProxy, ioc: SoftIoc, receiver: str, caplog: pytest.LogCaptureFixture
) -> None:
    line.refusals = 1  # and at first it does not give any

    def disturb() -> None:
        line.disconnect_channels()
        until(lambda: "PV connected again" in caplog.text)

    assert asyncio.run(following(receiver, ioc, disturb)) == [0, 1, 2]


def test_a_silent_server_is_noticed_and_nothing_is_lost(
    line: CaProxy,
    ioc: SoftIoc,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from camagick.service import ca_circuit

    monkeypatch.setattr(ca_circuit, "BEAT_S", 0.1)

    def disturb() -> None:
        line.stall(on=True)
        until(lambda: "PV disconnected" in caplog.text)
        line.stall(on=False)
        until(lambda: "PV connected again" in caplog.text)

    assert asyncio.run(following("caproto", ioc, disturb)) == [0, 1, 2]
    assert caplog.text.count("PV disconnected") == 1


def test_only_who_has_waited_in_vain_subscribes_again(
    line: CaProxy, ioc: SoftIoc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late word about the connection is no reason: all would come twice from then on."""
    from camagick.service.ca_monitor import Monitor

    heard: list[Any] = []
    monkeypatch.setattr(Monitor, "_take", lambda _, event: heard.append(event))

    async def run() -> None:
        source: Any = Processor("TEST:n")
        await source.startup()
        try:
            await asyncio.to_thread(until, lambda: heard)
            monitor = source._receiver._client._kept[0]
            known = dict(monitor._pv.circuit_manager.subscriptions)
            for _ in range(5):
                monitor._changed.set()
                for _ in range(5):
                    await asyncio.sleep(0)
            assert known == monitor._pv.circuit_manager.subscriptions
        finally:
            await source.shutdown()

    asyncio.run(run())


def test_what_is_said_again_is_left_out() -> None:
    def reading(value: Any, when: float) -> Reading:
        return Reading(value, {"timestamp": when})

    once = Once()
    assert once.is_new(reading(1, 1.0))
    assert once.is_new(reading(1, 1.0)), "what a server says twice by itself is two events"
    once.renewed()
    assert not once.is_new(reading(1, 1.0))
    assert once.is_new(reading(1, 1.0))
    for value, when in ((2, 1.0), (2, 2.0)):
        once.renewed()
        assert once.is_new(reading(value, when))


@pytest.mark.parametrize(("char", "count", "text"), [("auto", 4096, True), ("auto", 4097, False),
    ("text", 9999, True), ("bytes", 5, False)])  # fmt: skip
def test_when_characters_are_text(char: str, count: int, text: bool) -> None:
    import numpy as np

    value = Form(char).value("CHAR", np.frombuffer(b"abc\0d", np.uint8), count)
    assert (value == "abc") if text else (value.tobytes() == b"abc\0d")


def test_a_state_without_a_label_is_its_number() -> None:
    import numpy as np

    form = Form(enum="text")
    assert form.value("ENUM", np.array([1], ">u2"), 1, ("off", "on")) == "on"
    assert form.value("ENUM", np.array([2, 0], ">u2"), 2, ("off", "on")).tolist() == ["2", "off"]


def test_a_receiver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        ca_receivers._KNOWN, "libca", ("ca_libca", "LibcaReceiver", "no_such_library", "libca")
    )
    with pytest.raises(MissingExtra, match=r"receiver=libca needs no_such_library.*\[libca\]"):
        Processor("x", receiver="libca")


def watched(names: str, timeout: float, script: Callable[[Watch], Coroutine[Any, Any, None]],
    *, strict: bool = False) -> None:  # fmt: skip
    async def run() -> None:
        watch = Watch(names, names, timeout, strict=strict)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await script(watch)
            task.cancel()

    asyncio.run(run())


def test_who_is_away_is_named_once_and_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camagick.service.ca_watch.REMIND_S", 0.3)

    async def script(watch: Watch) -> None:
        watch.changed("a", True)
        await asyncio.to_thread(until, lambda: caplog.text.count("pv=b") == 2)
        watch.changed("a", False)
        await asyncio.to_thread(until, lambda: "answer" in caplog.text and "pv=a,b" in caplog.text)
        watch.changed("a", True)
        watch.changed("a", False)
        watch.changed("a", True)
        watch.changed("b", True)
        await asyncio.to_thread(until, lambda: "again" in caplog.text)

    watched("ab", 0.1, script)
    said = [record.getMessage() for record in caplog.records]
    assert said.count('msg="PV disconnected" pv=a') == 1
    assert said.count('msg="PV connected again" pv=a') == 1
    assert not any("again" in line and "b" in line.rpartition("=")[2] for line in said)


def test_strict_does_not_wait_for_ever() -> None:
    async def script(watch: Watch) -> None:
        watch.changed("a", True)
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        watched("ab", 0.1, script, strict=True)
    assert isinstance(caught.value.exceptions[0], NoAnswer)
    assert str(caught.value.exceptions[0]) == "no answer within 0.1 s: b"
