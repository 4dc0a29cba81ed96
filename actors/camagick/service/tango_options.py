"""What the Tango processors check alike in their options. Needs no pytango."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from camagick.errors import BadOption
from camagick.tools.numbers import is_real

#: Seconds after which an answer is given up that comes not at all.
TIMEOUT = 3.0

_SERVER = re.compile(r"(?:tango:)?//(?P<host>[^/:]+):(?P<port>\d+)/(?P<rest>.+)", re.IGNORECASE)
_NAME = re.compile(r"[^/\s#]+(?:/[^/\s#]+){2}|[^/\s#:]+")
_TARGET = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*(?P<call>\((?P<argument>.*)\))?")
_RC = ("/etc/tangorc", "~/.tangorc")


class Target(NamedTuple):
    """An attribute, or a command, of a device.

    Attributes
    ----------
    name
        Its name.
    command
        Whether it is a command.
    argument
        Text between the parentheses; '' for none.
    """

    name: str
    command: bool = False
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name}({self.argument})" if self.command else self.name


def targets(flag: str, words: tuple[Any, ...], tags: dict[str, Any]) -> dict[str, Target]:
    """Return what each tag is at the device, in the order of the command line.

    Raises
    ------
    BadOption
        When there is none, one comes twice, or one is no name.
    """
    found: dict[str, Target] = {}
    for tag, text in [*((str(word), word) for word in words), *tags.items()]:
        match = _TARGET.fullmatch(str(text).strip())
        if match is None:
            raise BadOption(
                f"{flag}: {tag}={text} is neither an attribute (cur=current) nor a command"
                " (cur=Command())"
            )
        target = Target(match["name"], match["call"] is not None, (match["argument"] or "").strip())
        key = target.name if tag == str(text) else tag
        if key in found:
            raise BadOption(f"{flag}: tag {key!r} comes twice")
        found[key] = target
    if not found:
        raise BadOption(f"{flag} needs an attribute: {flag} dev=devices/keithley/1 cur=current")
    return found


def device_name(flag: str, dev: Any, tags: dict[str, Any]) -> str:
    """Return the name of the device, and take out of `tags` what belongs to it.

    The command line reads ``tango://host:1/a/b/c#dbase=no`` as an option called
    ``tango://host:1/a/b/c#dbase``.

    Raises
    ------
    BadOption
        When it is not ``domain/family/member`` or an alias, perhaps behind ``tango://host:port/``.
    """
    for key in [key for key in tags if key.endswith("#dbase")]:
        answer = tags.pop(key)
        word = "no" if answer is False else str(answer).lower()
        dev = f"{key}={'yes' if word in ('true', '1') else word}"
    name = str(dev or "").strip()
    if not name:
        raise BadOption(f"{flag} needs a device: {flag} devices/keithley/1 cur=current")
    address, _, dbase = name.partition("#")
    if dbase not in ("", "dbase=yes", "dbase=no"):
        raise BadOption(f"{flag}: {name}: behind # there is only dbase=no")
    match = _SERVER.fullmatch(address)
    if dbase == "dbase=no" and match is None:
        raise BadOption(f"{flag}: {name}: #dbase=no needs the server, too: tango://host:port/a/b/c")
    if _NAME.fullmatch(match["rest"] if match else address) is None:
        raise BadOption(
            f"{flag}: {name}: the name of a device is domain/family/member, or an alias, with or"
            " without tango://host:port/ before it"
        )
    return name


def check_database(flag: str, device: str) -> None:
    """Check that the database of a device is known.

    Raises
    ------
    BadOption
        When neither the name, nor TANGO_HOST, nor a file of Tango's says where it is.
    """
    if _SERVER.match(device) or os.environ.get("TANGO_HOST"):
        return
    for name in _RC:
        path = Path(name).expanduser()
        if path.exists() and "TANGO_HOST" in path.read_text("utf-8", "replace"):
            return
    raise BadOption(
        f"{flag}: which Tango database knows {device}? Set TANGO_HOST=host:port, or write"
        f" tango://host:port/{device}"
    )


def positive(flag: str, name: str, value: Any) -> float:
    """Return the value of an option that is a number above 0.

    Raises
    ------
    BadOption
        When it is not.
    """
    if is_real(value) and value > 0:
        return float(value)
    raise BadOption(f"{flag}: {name}={value} is not a number above 0")
