"""Which Channel Access clients can read for ``--from-epics``; each is imported when it is used."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption, MissingExtra

if TYPE_CHECKING:
    from camagick.service.ca_reading import Form, Receiver

#: By name: module, class, library, extra.
_KNOWN = {
    "caproto": ("ca_monitor", "CaprotoReceiver", "caproto", "epics"),
    "libca": ("ca_libca", "LibcaReceiver", "aioca", "libca"),
}


def checked(name: str) -> str:
    """Return the name of a receiver that there is.

    Raises
    ------
    BadOption
        When there is none of that name.
    MissingExtra
        When its library is not installed.
    """
    if name not in _KNOWN:
        raise BadOption(f"receiver={name}: there is {', '.join(_KNOWN)}")
    _, _, library, extra = _KNOWN[name]
    if importlib.util.find_spec(library) is None:
        raise MissingExtra(f"--from-epics receiver={name}", library, extra)
    return name


def make(name: str, form: Form) -> Receiver:
    """Import and make a receiver."""
    module, cls, _, _ = _KNOWN[name]
    made: Any = getattr(importlib.import_module(f"camagick.service.{module}"), cls)
    receiver: Receiver = made(form)
    return receiver
