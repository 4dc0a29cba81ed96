"""What can go wrong with a device, told apart by whether it is away."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from camagick.errors import CamagickError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of ophyd and of ophyd-async, neither of which may be there to be imported.
_AWAY = ("DisconnectedError", "NotConnectedError")


class DeviceFailed(CamagickError):
    """A device did not do what it was asked for."""


class Away(DeviceFailed):
    """A device is not connected: it may come back."""


@contextlib.contextmanager
def named(name: str, doing: str = "") -> Iterator[None]:
    """Raise errors of a library as errors that say which device it was, and at what.

    Raises
    ------
    Away
        For those that say that the device is not there.
    DeviceFailed
        For all others.
    """
    try:
        yield
    except CamagickError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        where = f"{name}: {doing}: " if doing else f"{name}: "
        kind = type(error).__name__
        if isinstance(error, TimeoutError) or kind in _AWAY:
            raise Away(f"{where}{text}") from error
        known = isinstance(error, (ValueError, OSError))
        raise DeviceFailed(f"{where}{text if known else f'{kind}: {text}'}") from error
