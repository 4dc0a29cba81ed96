"""The pages of a bus and of a plot: what a browser is sent, and who is sent nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from camagick.data import Data
from camagick.service import webplot
from caspy.errors import PlanError
from caspy.token import Token
from tests.buses import Run, card_of
from tests.servers.ioc import free_port

aiohttp = pytest.importorskip("aiohttp")

CASPY = str(Path(sys.executable).with_name("caspy"))
DEADLINE_S = 30.0


class Page:
    """A caspy that serves a page, until the test is over."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen([CASPY, *words], stdout=subprocess.PIPE, text=True)

    def close(self) -> int:
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self.process.communicate()
        return code


@pytest.fixture
def bus():
    """Return the port of the page of a run."""
    with free_port() as port:
        pipe = ["--from-scratch", "counter", "n=1", "line=64", "rate=50", "--npfun", "max"]
        page = Page("-bus", "webbed", "-web", str(port), *pipe, "--to-summary")
        try:
            card_of("webbed")
            yield port
        finally:
            assert page.close() == 0


WORD = "0123456789abcdef"


@pytest.fixture
def controlled(tmp_path):
    """Return a run whose page lets those end it who know the token, its port and its log."""
    token = tmp_path / "token"
    token.write_text(WORD + "\n")
    token.chmod(0o600)
    words = ["-bus", "ruled", "-on-error", "skip", "--from-scratch", "counter", "n=1", "rate=50"]
    fail = ["--slice", "7", "--to-summary", "path=/dev/null"]
    with (
        free_port() as port,
        Run(*words, *fail, "-web", str(port), "-web-control", str(token), log="ERROR") as run,
    ):
        card_of("ruled")
        yield run, port


def test_the_log_of_every_actor_and_the_end_by_token(controlled):
    run, port = controlled

    async def look() -> None:
        root = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as session:
            assert (await (await answered(session, f"{root}/bus")).json())["control"] is True
            async with asyncio.timeout(DEADLINE_S):
                said: dict[str, Any] = {}
                while "slice.2" not in said:
                    (text,) = await messages(session, f"{root}/logs", 1)
                    said = json.loads(text)
            line = said["slice.2"][0]
            assert line["level"] == "ERROR"
            run.actor("summary.3").kill()
            async with asyncio.timeout(DEADLINE_S):
                while "launcher" not in said:
                    (text,) = await messages(session, f"{root}/logs", 1)
                    said = json.loads(text)
                    await asyncio.sleep(0.1)
            assert said["launcher"][0]["level"] == "WARNING"  # which is not printed
            assert "is started again" in said["launcher"][0]["text"]
            assert "is started again" not in run.log
            assert "slice 7" in line["text"]
            for wrong in ({}, {"Authorization": "Bearer " + "x" * 16}):
                answer = await session.post(f"{root}/end/drain", headers=wrong)
                assert answer.status == 403
            right = {"Authorization": f"Bearer {WORD}"}
            elsewhere = right | {"Origin": "http://elsewhere.org"}
            assert (await session.post(f"{root}/end/drain", headers=elsewhere)).status == 403
            assert (await session.post(f"{root}/end/now", headers=right)).status == 404
            assert run.running
            assert (await session.post(f"{root}/end/drain", headers=right)).status == 200

    asyncio.run(look())
    assert run.wait() == 0


def test_without_a_token_nobody_ends_it(bus):
    async def look() -> None:
        root = f"http://127.0.0.1:{bus}"
        async with aiohttp.ClientSession() as session:
            assert (await (await answered(session, f"{root}/bus")).json())["control"] is False
            headers = {"Authorization": f"Bearer {WORD}"}
            answer = await session.post(f"{root}/end/drain", headers=headers)
            assert answer.status == 403
            assert "-web-control" in await answer.text()

    asyncio.run(look())


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("short", 0o600, "16 letters"), (WORD, 0o644, "chmod 600"), (None, 0, "cannot read")],
)
def test_a_token_that_is_no_secret(tmp_path, text, mode, said):
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(PlanError, match=said):
        Token(str(file))


@pytest.fixture
def plot():
    with free_port() as port:
        pipe = ["--from-scratch", "counter", "n=1", "line=64", "e=64", "rate=50"]
        page = Page(*pipe, "--to-plot", f"web={port}", "x=e", "layout=1x2", "line=log,1:9")
        try:
            yield port
        finally:
            assert page.close() == 0


async def answered(session: Any, url: str, **options: Any) -> Any:
    """Get a page, of a server that may just be starting."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await session.get(url, **options)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def messages(session: Any, url: str, count: int) -> list[Any]:
    """Return what a page is sent that asks for one message after the other."""
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE_S), session.ws_connect(url) as channel:
        while len(found) < count:
            found.append((await channel.receive()).data)
            await channel.send_str("next")
    return found


def header(message: bytes) -> Any:
    return json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])


def test_a_bus_as_a_page(bus):
    async def look() -> None:
        root = f"http://127.0.0.1:{bus}"
        async with aiohttp.ClientSession() as session:
            page = await answered(session, f"{root}/")
            assert "/bus.js" in await page.text()
            for name in ("bus.js", "panels.js", "style.css"):
                assert (await session.get(f"{root}/{name}")).status == 200
            about = await (await session.get(f"{root}/bus")).json()
            assert about["bus"] == "webbed"
            assert [one["inputs"] for one in about["actors"]] == [[], [1], [2]]
            *_, last = await messages(session, f"{root}/live", 2)
            rows = json.loads(last)["rows"]
            assert [row["number"] for row in rows] == [1, 2, 3]
            first, second = map(header, await messages(session, f"{root}/tap/1", 2))
            assert {tag["tag"]: tag["kind"] for tag in first["tags"]} == {
                "n": "number", "line": "line",
            }  # fmt: skip
            assert second["tags"][0]["value"] > first["tags"][0]["value"]
            (refused,) = await messages(session, f"{root}/tap/99", 1)
            assert "99" in refused

    asyncio.run(look())


def test_other_pages_and_other_names_are_refused(bus):
    async def look() -> None:
        root = f"http://127.0.0.1:{bus}"
        async with aiohttp.ClientSession() as session:
            assert (await answered(session, f"{root}/")).status == 200
            for wrong in ({"Origin": "http://elsewhere.org"}, {"Host": "elsewhere.org"}):
                assert (await session.get(f"{root}/bus", headers=wrong)).status == 403
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(f"{root}/live", headers=wrong)
            right = {"Origin": root}
            assert (await session.get(f"{root}/bus", headers=right)).status == 200

    asyncio.run(look())


def test_nothing_is_made_for_who_asks_for_nothing(monkeypatch):
    packed = []

    def pack(*_: Any) -> bytes:
        packed.append(1)
        return b""

    monkeypatch.setattr(webplot, "pack", pack)

    async def show() -> None:
        with free_port() as port:
            page = webplot.WebPlot(str(port), 0.001)
            await page.open()
            async with aiohttp.ClientSession() as session:
                channel = await session.ws_connect(f"http://127.0.0.1:{port}/live")
                async with asyncio.timeout(DEADLINE_S):
                    for _ in range(2):
                        page.show(Data({"x": 1.0}), 0)
                        await channel.receive()
                        for _ in range(50):  # it has one, and does not ask
                            page.show(Data({"x": 1.0}), 0)
                            await asyncio.sleep(0.001)
                        await channel.send_str("next")
                await channel.close()
            await page.close()

    asyncio.run(show())
    assert len(packed) <= 4


def test_who_asks_for_nothing_more_is_sent_nothing_more(plot):
    async def look() -> None:
        url = f"http://127.0.0.1:{plot}"
        async with aiohttp.ClientSession() as session:
            assert "/plot.js" in await (await answered(session, f"{url}/")).text()
            async with session.ws_connect(f"{url}/live") as silent:
                first = header((await silent.receive(DEADLINE_S)).data)
                tags = {entry["tag"]: entry for entry in first["tags"]}
                assert (tags["line"]["style"]["log"], tags["e"]["axis"]) == (True, True)
                look = await session.get(f"{url}/look")
                assert await look.json() == {"columns": 2}
                # Others are served all the while.
                seen = [header(one)["seq"] for one in await messages(session, f"{url}/live", 5)]
                assert seen == sorted(set(seen))
                await silent.send_str("next")
                second = header((await silent.receive(DEADLINE_S)).data)
                assert second["seq"] >= seen[-1] > first["seq"]

    asyncio.run(look())


def test_visiting_a_bus(bus):
    page = Page("-web", "webbed")
    try:
        assert page.process.stdout is not None
        line = page.process.stdout.readline()
        assert line.startswith("webbed: http://127.0.0.1:")
        url = line.split()[1]

        async def look() -> None:
            async with aiohttp.ClientSession() as session:
                assert (await (await answered(session, f"{url}bus")).json())["bus"] == "webbed"

        asyncio.run(look())
    finally:
        assert page.close() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-web", "nobody"], "nobody"),
        (
            ["-web", "x", "--from-scratch", "counter", "n=1", "--to-summary"],
            "neither PORT nor HOST:PORT",
        ),
        (["-web-control", "x", "--from-scratch", "counter", "n=1", "--to-summary"], "-web says"),
        (["--from-scratch", "counter", "n=1", "--to-plot", "web=x"], "neither PORT nor HOST:PORT"),
    ],
)
def test_what_cannot_be_served_is_said(words, said):
    done = subprocess.run(
        [CASPY, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
