"""The newest data as a page in a browser: what ``--to-plot web=`` does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption
from camagick.service.listening import listen
from camagick.service.webframes import keep, pack
from camagick.service.webserver import Feed, Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Data
    from camagick.service.webframes import Small
    from camagick.tools.panelspec import Style


class WebPlot:
    """Serves a page; a browser is sent what is newest, at most so often.

    Parameters
    ----------
    address
        PORT of the loopback, or HOST:PORT.
    period_s
        Seconds between two pictures, at least.
    styles
        How the panels of certain tags are to look.
    x
        Tag that lines are drawn over, '' for none.
    grid
        Rows and columns of panels, None for as many as there is room for.

    Raises
    ------
    BadOption
        When nobody can listen there.
    """

    def __init__(
        self, address: str, period_s: float, styles: Mapping[str, Style] | None = None,
        x: str = "", grid: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        self._period = period_s
        self._looks: dict[str, dict[str, Any]] = {
            tag: {"style": style._asdict()} for tag, style in (styles or {}).items()
        }
        if x:
            self._looks.setdefault(x, {})["axis"] = True
        self._site = Site("plot.html")
        try:
            self._socket = listen(address)
        except BadOption as error:
            raise BadOption(f"plot: web: {error}") from None
        self._feed = Feed()
        self._site.add_feed("/live", self._open)
        self._site.add_json("/look", {"columns": grid[1] if grid else 0})
        self._newest: dict[str, Small] = {}
        self._seq = 0
        self._arrived = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def _open(self, _: object) -> tuple[Feed, None]:
        self._arrived.set()  # who comes late is shown what there is
        return self._feed, None

    async def open(self) -> None:
        """Begin to serve."""
        await self._site.open(self._socket)
        # Owned by this object: cancelled in close().
        self._sending = asyncio.get_running_loop().create_task(self._send())

    def show(self, data: Data, seq: int) -> None:
        """Note the newest data; it is packed when somebody listens and its time has come."""
        self._newest.update(keep(data))
        self._seq = seq
        self._arrived.set()

    async def _send(self) -> None:
        while True:
            await self._arrived.wait()
            await self._feed.wanted()  # nothing is packed for a browser that sleeps or was stopped
            self._arrived.clear()
            if self._newest:
                self._feed.put(pack(self._newest, self._seq, self._looks))
                await asyncio.sleep(self._period)

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending
            if self._newest:  # the last one stays on the screen
                self._feed.put(pack(self._newest, self._seq, self._looks))
                await asyncio.sleep(0)
        await self._site.close()
