"""Questions to the broker of a running bus, from outside."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self

from camagick_broker.address import broker_address
from camagick_broker.control import hear, say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.port import Port

if TYPE_CHECKING:
    from pathlib import Path

    from camagick_broker.port import Outlet


class Inquiry:
    """Asks one broker, again and again; for one thread.

    Parameters
    ----------
    run, bus_dir
        Identity of the run; folder of its bus.

    Attributes
    ----------
    over
        The broker's last word (as `status`), once it has said that the bus has ended.
    """

    def __init__(self, run: bytes, bus_dir: str | Path) -> None:
        self._run, self._bus_dir = run, str(bus_dir)
        self.over: dict[str, Any] | None = None
        self._port = Port()
        try:
            self._outlet = self._connect()
        except BaseException:
            self._port.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self, timeout_s: float = 2.0) -> dict[str, Any] | None:
        """Return what the broker knows; None when it does not answer in time.

        Whoever asks is told the end of the bus as well, see `over`.
        """
        if self._outlet.waiting:  # it does not even take what was asked before
            self._wait("", 0.0)
        else:
            self._outlet.send([say(self._run, 0, {"op": "watch"})])
        return self._wait("status", timeout_s)

    def last_word(self, timeout_s: float) -> dict[str, Any] | None:
        """Wait for the broker's last word; None when it does not come in time."""
        if self.over is None:
            self._wait("over", timeout_s)
        return self.over

    def close(self) -> None:
        """Close the socket."""
        self._port.close()

    def _connect(self) -> Outlet:
        name = b"?" + os.urandom(12)
        return self._port.connect_dealer(broker_address(self._bus_dir), name)

    def _wait(self, op: str, timeout_s: float) -> dict[str, Any] | None:
        """Return the newest answer of a kind."""
        answer = None
        deadline = time.monotonic() + timeout_s
        while answer is None and self.over is None:
            left = deadline - time.monotonic()
            for source in self._port.wait(max(0, int(left * 1000))):
                for frames in self._port.receive(source):
                    content = self._read(frames)
                    if content.get("op") == "over":
                        self.over = content
                    if content.get("op") == op:
                        answer = content
            if left <= 0:
                break
        return answer

    def _read(self, frames: list[Any]) -> dict[str, Any]:
        try:
            return hear(frames[0].buffer, self._run)[1]
        except RemoteProtocolError:  # not from this broker: no answer
            return {}
