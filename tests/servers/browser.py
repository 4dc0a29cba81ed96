"""A headless Chromium, asked what it shows by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DEADLINE_S = 60.0


class Page:
    """One page of a browser, as wide as asked for."""

    def __init__(self, channel: Any, process: psutil.Process) -> None:
        self._channel = channel
        self._last = 0
        self.process = process

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._last += 1
        await self._channel.send_json({"id": self._last, "method": method, "params": params})
        async with asyncio.timeout(DEADLINE_S):
            while (answer := await self._channel.receive_json()).get("id") != self._last:
                pass
        assert "error" not in answer, answer
        return answer["result"]

    async def see(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value; it may fail on a half page."""
        expression = f"(() => {{ try {{ return {expression} }} catch (error) {{ return 0 }} }})()"
        async with asyncio.timeout(DEADLINE_S):
            while not (value := await self.see(expression)):  # noqa: ASYNC110 - a page has no event
                await asyncio.sleep(0.05)
        return value

    async def picture(self) -> bytes:
        """Return a screenshot, as PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])

    def stop(self) -> None:
        """Stop the browser, with all of its processes (SIGSTOP)."""
        for one in self._family():
            one.suspend()

    def go_on(self) -> Self:
        """Let it go on."""
        for one in self._family():
            one.resume()
        return self

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextlib.asynccontextmanager
async def opened(
    url: str, folder: Path, width: int = 1100, height: int = 800
) -> AsyncIterator[Page]:
    """Have a page open in a browser of its own; `folder` takes what it leaves."""
    import aiohttp

    process = subprocess.Popen(  # noqa: ASYNC220 - a test may wait
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
         f"--user-data-dir={folder}/profile", "--remote-debugging-port=0", "about:blank"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "profile/DevToolsActivePort"
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
            while not (told.exists() and "\n" in told.read_text()):  # noqa: ASYNC110 - nor a file
                await asyncio.sleep(0.05)
            root = f"http://127.0.0.1:{told.read_text().split()[0]}"
            target = await (await session.put(f"{root}/json/new")).json()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as channel,
        ):
            page = Page(channel, psutil.Process(process.pid))
            await page.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
            )  # fmt: skip
            await page.call("Page.navigate", url=url)
            yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_S)
