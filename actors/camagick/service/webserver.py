"""A small web server for pages that show what is newest: files, and sockets that never pile up.

Whoever listens is sent the newest message, and the next one only when it has asked for it. So a
browser that sleeps, crawls or was stopped costs one message of memory, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from camagick.errors import MissingExtra

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
#: Nothing is loaded from elsewhere, and no other page shows this one or uses its sockets.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


class Feed:
    """The newest message, for any number of listeners; used in one event loop."""

    def __init__(self) -> None:
        self._newest: str | bytes | None = None
        self._number = 0
        self._news = asyncio.Event()
        self._waiting = 0
        self._wanted = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        """Replace the newest message."""
        self._newest = message
        self._number += 1
        self._news.set()
        self._news = asyncio.Event()

    async def newer(self, than: int) -> tuple[int, str | bytes]:
        """Wait for a message that is newer than that number; return its number and itself."""
        while self._number <= than or self._newest is None:
            self._waiting += 1
            self._wanted.set()
            try:
                await self._news.wait()
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._wanted.clear()
        return self._number, self._newest

    async def wanted(self) -> None:
        """Wait until somebody waits for something newer: until then it need not be made."""
        await self._wanted.wait()


class Site:
    """A page with its files, and what else is added to it.

    Parameters
    ----------
    page
        Name of the HTML file in ``camagick/service/web``.

    Raises
    ------
    MissingExtra
        When aiohttp is not installed.
    """

    def __init__(self, page: str) -> None:
        try:
            from aiohttp import web
        except ImportError:
            raise MissingExtra("web", "aiohttp", "web") from None
        self.web = web
        self._app = web.Application(middlewares=[web.middleware(_guard(self))])
        self._runner: Any = None
        #: Whether only this host can reach it.
        self.local = True
        folder = resources.files("camagick.service") / "web"
        for file in folder.iterdir():
            if file.name.endswith((".js", ".css")) or file.name == page:
                path = "/" if file.name == page else f"/{file.name}"
                self._add_file(path, file.read_text(encoding="utf-8"), file.name)

    def _add_file(self, path: str, text: str, name: str) -> None:
        kind = _TYPES[name.rpartition(".")[2]]

        async def answer(_: Any) -> Any:
            return self.web.Response(text=text, content_type=kind, headers=_HEADERS)

        self._app.router.add_get(path, answer)

    def add_json(self, path: str, content: Any) -> None:
        """Serve a fixed value as JSON."""

        async def answer(_: Any) -> Any:
            return self.web.json_response(content, headers=_HEADERS)

        self._app.router.add_get(path, answer)

    def add_post(self, path: str, react: Callable[[Any], Awaitable[tuple[int, str]]]) -> None:
        """Let a page ask for something; `react` returns the status and a line of text."""

        async def answer(request: Any) -> Any:
            status, text = await react(request)
            return self.web.Response(status=status, text=f"{text}\n", headers=_HEADERS)

        self._app.router.add_post(path, answer)

    def add_feed(self, path: str, open_feed: Callable[[Any], Awaitable[tuple[Feed, Any]]]) -> None:
        """Serve a feed by WebSocket.

        Parameters
        ----------
        path
            Where; may hold a name in braces.
        open_feed
            Given the request's match of `path`, returns the feed, and what closes it (or None).
        """

        async def answer(request: Any) -> Any:
            channel = self.web.WebSocketResponse(heartbeat=20.0, max_msg_size=1024)
            await channel.prepare(request)
            try:
                feed, close = await open_feed(request.match_info)
            except Exception as error:  # noqa: BLE001 - the user sees it in the page
                await channel.send_str(str(error))
                return channel
            try:
                await self._serve(channel, feed)
            finally:
                if close is not None:
                    close()
            return channel

        self._app.router.add_get(path, answer)

    async def _serve(self, channel: Any, feed: Feed) -> None:
        """Send what is newest, one message for each time that the page has asked for one."""
        seen = 0
        asked = asyncio.Event()
        asked.set()

        async def send() -> None:
            nonlocal seen
            while True:
                await asked.wait()
                seen, message = await feed.newer(seen)
                asked.clear()
                if isinstance(message, str):
                    await channel.send_str(message)
                else:
                    await channel.send_bytes(message)

        # Ends with the channel: whichever of the two ends first ends the other.
        sending = asyncio.ensure_future(send())
        try:
            async for _ in channel:
                asked.set()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending

    async def open(self, socket_: socket.socket) -> None:
        """Serve a socket that listens already; it is closed with the site."""
        address = socket_.getsockname()[0]
        self.local = address in ("127.0.0.1", "::1")
        self._runner = self.web.AppRunner(self._app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await self.web.SockSite(self._runner, socket_).start()

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _guard(site: Site) -> Any:
    """Refuse other pages that a browser has open: by the name they know, or by their origin."""

    async def check(request: Any, handler: Any) -> Any:
        host = request.host.rpartition(":")[0] or request.host
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin.partition("://")[2] != request.host
        if foreign or (site.local and host not in _LOCAL):
            return site.web.Response(status=403, text="not from here\n")
        return await handler(request)

    return check
