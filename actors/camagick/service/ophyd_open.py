"""From the words of a command line to a device with one face, whichever library it is of."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from camagick.errors import CamagickError
from camagick.service.ophyd_asyncdevice import AsyncDevice
from camagick.service.ophyd_device import Device
from camagick.service.ophyd_object import find, is_asynchronous, make
from camagick.service.ophyd_thread import Thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


async def opened(
    flag: str, what: Any, arguments: Sequence[Any], named: Mapping[str, Any]
) -> Device:
    """Return the device that a command line means; nothing is connected yet.

    Raises
    ------
    BadOption
        When it cannot be made.
    """
    found = find(flag, what)
    thread = Thread(_thread_class())
    made = await make(flag, what, arguments, named, thread)
    kind = AsyncDevice if is_asynchronous(made) else Device
    return kind(made, thread, own=made is not found)


def _thread_class() -> Callable[..., threading.Thread]:
    ophyd = sys.modules.get("ophyd")
    if ophyd is None:
        return threading.Thread
    layer: Any = ophyd.get_cl()
    dispatcher = layer.get_dispatcher()
    # Threads are not inherited: without them no answer of the control system would ever come.
    threads = getattr(dispatcher, "threads", {}).values()
    if threads and not any(thread.is_alive() for thread in threads):
        raise CamagickError(
            "ophyd was imported before this process was forked, and its threads did not come "
            "along: name the device as module:name, and do not import ophyd beside it"
        )
    found: Callable[..., threading.Thread] = layer.thread_class
    return found
