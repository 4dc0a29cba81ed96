"""``--to-bluesky``: iterations as events of a Bluesky run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import ProcessorBase, Role
from camagick.service.bluesky_options import checked_address, checked_prefix
from camagick.tools.numbers import is_real

if TYPE_CHECKING:
    from camagick.service.bluesky_compose import Composer

log = logging.getLogger(__name__)

#: Seconds that 0MQ may take to tell the publisher that the proxy wants everything; it has no way
#: to be asked.
_SETTLE = 0.3


class NoProxy(CamagickError):
    """There is nobody to publish documents to."""


class Processor(ProcessorBase):
    """Iterations as events of a Bluesky run, published through a proxy.

    A run starts with the first iteration, and stops with the last. Where the context has a
    `scan_id`, each new one is a run of its own. Units, precision, limits and timestamps become
    part of the documents. Hands on nothing.

    0MQ's publishing loses documents where a listener is too slow, or while there is no proxy.

    Parameters
    ----------
    kind : str
        How documents travel: ``0MQ``.
    address : str
        ``host:port`` of the incoming side of a proxy, see ``bluesky-0MQ-proxy --help``.
    prefix : str, default ''
        Put before each message, so that listeners can tell publishers apart.
    stream : str, default primary
        Name of the stream of events.
    format : str, default msgpack
        ``msgpack`` (numpy arrays as msgpack-numpy writes them), or ``json``. Never pickle.
    timeout : float, default 5.0
        Seconds to wait for the proxy at the start.
    **metadata : object
        What the start documents say: ``sample=Au plan_name=caspy``.

    Examples
    --------
    A PV for everybody who reads Bluesky's documents::

        caspy --from-epics EXAMPLE:iffy --to-bluesky 0MQ localhost:5577 sample=Au
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("bluesky",)
    extra: ClassVar[str] = "bluesky"

    def __init__(
        self,
        kind: str,
        address: str,
        prefix: str = "",
        stream: str = "primary",
        format: str = "msgpack",  # noqa: A002 - what it is called by everybody
        timeout: float = 5.0,
        **metadata: Any,
    ) -> None:
        self._address = checked_address("--to-bluesky", kind, address)
        self._prefix = checked_prefix("--to-bluesky", prefix)
        if format not in ("msgpack", "json"):
            raise BadOption(f"--to-bluesky: format={format}: there is msgpack and json")
        if not is_real(timeout) or timeout <= 0:
            raise BadOption(f"--to-bluesky: timeout={timeout!r} is not a number of seconds")
        if not stream:
            raise BadOption("--to-bluesky: stream= must not be empty")
        self._stream, self._format, self._timeout = stream, format, float(timeout)
        self._metadata = {"plan_name": "caspy", **metadata}
        self._publisher: Any = None
        self._composer: Composer | None = None

    async def startup(self) -> None:
        """Connect to the proxy.

        Raises
        ------
        NoProxy
            When there is none within `timeout` seconds.
        """
        from bluesky.callbacks.zmq import Publisher

        from camagick.service import bluesky_codec as codec
        from camagick.service.bluesky_compose import Composer

        await self._until_there()
        serializer = codec.dumps if self._format == "msgpack" else codec.dumps_json
        publisher = Publisher(self._address, prefix=self._prefix, serializer=serializer)
        publisher._socket.linger = 1000  # noqa: SLF001 - else a proxy that died holds the end up
        self._publisher = publisher
        self._composer = Composer(publisher, self._stream, self._metadata)
        await asyncio.sleep(_SETTLE)

    async def _until_there(self) -> None:
        """Wait until somebody listens: 0MQ itself drops what is published to nobody."""
        if self._address.startswith("ipc://"):
            return
        host, _, port = self._address.rpartition(":")
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(host, int(port))
                        writer.close()
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise NoProxy(
                f"--to-bluesky: nobody listens at {self._address}: bluesky-0MQ-proxy starts a proxy"
            ) from None

    async def __call__(self, data: Any = None, context: Any = None) -> None:
        """Publish the iteration."""
        given = Data.of(data)
        if self._composer is None:
            raise RuntimeError("--to-bluesky is used before its startup()")
        scan = (context or {}).get("scan_id")
        if given:
            self._composer.add(given, None if scan is None else int(scan))

    async def shutdown(self) -> None:
        """End the run, and leave the proxy."""
        if self._composer is not None:
            self._composer.stop()
            self._composer = None
        if self._publisher is not None:
            publisher, self._publisher = self._publisher, None
            await asyncio.to_thread(publisher.close)
