"""``-web``: a running bus as a page: its graph, its figures, and what goes over an edge."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from typing import TYPE_CHECKING, Any

from camagick.data import Data
from camagick.service.webframes import pack
from camagick.service.webserver import Feed, Site
from camagick_broker.listener import Listener
from camagick_broker.running import actor_of, fate
from caspy.logbook import last_lines
from caspy.sight import Sight
from caspy.stop import CannotStop, ask
from caspy.table import clock, command_of
from caspy.top import looks

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from camagick.tools.ear import Ear
    from camagick_broker.running import Card
    from caspy.figures import Row
    from caspy.token import Token

#: How often a page is sent what goes over an edge, at most.
_RATE_HZ = 20.0
#: How often Ctrl-C is pressed to end a run so.
_ENDINGS = {"drain": 1, "stop": 2}
#: What a wrong token has to wait: nobody shall try many.
_WRONG_S = 0.5
_SHOWN = ("number", "name", "state", "seq", "rate", "rate_in", "rate_out", "busy", "kept",
          "resends", "gaps", "refused", "restarts")  # fmt: skip


def serve(card: Card, listening: socket.socket, token: Token | None = None) -> int:
    """Serve the page of a bus until SIGTERM or SIGINT; return the exit code.

    Parameters
    ----------
    card
        The bus.
    listening
        Where.
    token
        What one has to know to end the run; None where nobody can, by the page.
    """
    asyncio.run(_serve(card, listening, token))
    return 0


async def _serve(card: Card, listening: socket.socket, token: Token | None) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    # A forked process begins with its signals blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    site, live, logs = Site("bus.html"), Feed(), Feed()
    site.add_json("/bus", _bus(card) | {"control": token is not None})
    site.add_feed("/live", lambda _: _present(live))
    site.add_feed("/logs", lambda _: _present(logs))
    site.add_post("/end/{how}", _ending(card, token))
    site.add_feed("/tap/{number}", lambda match: _tap(card, match["number"]))
    left = threading.Event()
    watching = threading.Thread(
        target=_watch, args=(card, live, logs, loop, left), name="figures", daemon=True
    )
    await site.open(listening)
    watching.start()
    await over.wait()
    left.set()
    await site.close()
    await loop.run_in_executor(None, watching.join)


def _bus(card: Card) -> dict[str, Any]:
    """Return what does not change while a bus runs."""
    return {
        "bus": card.bus,
        "command": command_of(card),
        "host": card.host,
        "since": clock(card.started),
        "actors": [
            {"number": one.number, "name": one.name, "inputs": list(one.inputs)}
            for one in card.actors
        ],
    }


async def _present(feed: Feed) -> tuple[Feed, None]:
    return feed, None


def _ending(card: Card, token: Token | None) -> Callable[[Any], Awaitable[tuple[int, str]]]:
    """Return what answers a page that wants to end the run: 'drain' it, or 'stop' it at once."""

    async def answer(request: Any) -> tuple[int, str]:
        if token is None:
            return 403, "this page can change nothing: -web-control FILE lets it"
        if not token.fits(request.headers.get("Authorization", "")):
            await asyncio.sleep(_WRONG_S)
            return 403, "this is not the token"
        how = request.match_info["how"]
        if how not in _ENDINGS:
            return 404, f"one of {', '.join(_ENDINGS)}"
        try:
            await asyncio.get_running_loop().run_in_executor(None, ask, card, _ENDINGS[how])
        except CannotStop as error:
            return 409, str(error)
        return 200, "asked to end"

    return answer


def _watch(
    card: Card, feed: Feed, logs: Feed, loop: asyncio.AbstractEventLoop, left: threading.Event
) -> None:
    """Ask the broker once a second; a thread of its own, since it waits for the answer."""
    said = ""

    def tell(rows: list[Row], state: str) -> None:
        message = json.dumps({"state": state, "rows": [_figures(row) for row in rows]})
        loop.call_soon_threadsafe(feed.put, message)
        nonlocal said
        found = last_lines(card.folder)
        lines = json.dumps(found)
        if found and lines != said:  # a folder that is gone has not taken back what was said
            said = lines
            loop.call_soon_threadsafe(logs.put, lines)

    rows: list[Row] = []
    for rows, answers in looks(Sight(card), lambda seconds: not left.wait(max(0.0, seconds))):
        tell(rows, "running" if answers else "its broker does not answer")
    if not left.is_set():
        tell(rows, "was killed" if fate(card) == "killed" else "has ended")


def _figures(row: Row) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in _SHOWN}
    missed = sum(int(row.own.get(name, 0)) for name in ("missed", "overruns"))
    shown["host"] = str(getattr(row, "host", ""))
    return shown | {"latency_ms": 1000 * row.latency_s, "missed": missed}


async def _tap(card: Card, number: str) -> tuple[Feed, Callable[[], None]]:
    """Listen to an actor for one page; raises AddressError where there is none."""
    from camagick.tools.ear import Ear

    ear = Ear(Listener(card, actor_of(card, number), _RATE_HZ), latest=True)
    feed = Feed()
    # Lives as long as the page listens: `close` ends it, and its ear.
    task = asyncio.ensure_future(_pass_on(ear, feed))

    def close() -> None:
        task.cancel()
        threading.Thread(target=ear.close, name="leaving").start()

    return feed, close


async def _pass_on(ear: Ear, feed: Feed) -> None:
    seq = 0
    try:
        while not ear.over:
            await ear.wait()
            body = ear.take()
            if body is not None:
                data = Data({tag: mark.value for tag, mark in body.data.items()}, dict(body.data))
                feed.put(pack(data, seq))
                seq += 1
        feed.put("it has ended")
    except Exception as error:  # noqa: BLE001 - said in the page that listened
        feed.put(str(error))
