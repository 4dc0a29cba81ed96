"""Grants: keys with which others reach a bus from other hosts. Files, and no sockets.

In the folder of a bus, ``gateway.json`` says where its gateway is, ``gateway.key`` holds the keys
of that one, for the successor if it is killed, and ``grants/ID.json`` says which keys it admits.
The secret of a grant is in the key file that was handed out, and nowhere else. A grant is revoked
by renaming it to ``ID.revoked``; the gateway renames that to ``ID.gone`` when its connections are
closed. What a key may do says the grant; a key file says it, too, for whoever has that.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.endpoints import host_of
from camagick_broker.errors import AddressError
from camagick_broker.keys import Keys, checked, fresh, is_key, key_id
from camagick_broker.wire import RUN_BYTES

if TYPE_CHECKING:
    from camagick_broker.running import Card

_GATEWAY, _ITS_KEYS = "gateway.json", "gateway.key"
_FOLDER = "grants"
_MOST_BYTES = 1 << 16
_REVOKE_S = 10.0


class TapKey(NamedTuple):
    """What a key file says.

    Attributes
    ----------
    bus, run
        Whom it is for: the name of a bus, and the 8 bytes of its run.
    address
        Where its gateway is.
    server
        Public key of the gateway.
    own
        The keys that were granted.
    may_end
        Whether it was made to end the run as well; the gateway goes by the grant.
    """

    bus: str
    run: bytes
    address: str
    server: bytes
    own: Keys
    may_end: bool = False


class Grant(NamedTuple):
    """A key that was granted.

    Attributes
    ----------
    id, public
        Its name, and its public half.
    made
        When, in seconds since 1970.
    may_end
        Whether its holder may end the run, and not only look and listen.
    """

    id: str
    public: bytes
    made: float
    may_end: bool = False


def gateway_keys(folder: Path) -> Keys:
    """Return the keys of the gateway of a bus, new ones where there was none; for the gateway.

    Raises
    ------
    AddressError
        If those that were there are none.
    """
    path = folder / _ITS_KEYS
    said = _read(path)
    if said is not None:
        return checked(str(said.get("public")).encode(), str(said.get("secret")).encode())
    own = fresh()
    _write(path, {"public": own.public.decode(), "secret": own.secret.decode()})
    return own


def announce(folder: Path, address: str, public: bytes) -> None:
    """Leave word where the gateway of a bus is; for the gateway, once it listens."""
    _write(folder / _GATEWAY, {"address": address, "public": public.decode()})


def grant(card: Card, *, may_end: bool = False) -> TapKey:
    """Make a key for a running bus.

    Parameters
    ----------
    card
        The bus.
    may_end
        Whether its holder may end the run.

    Raises
    ------
    AddressError
        When the bus does not listen to other hosts.
    """
    gateway = _read(card.folder / _GATEWAY)
    if gateway is None:
        raise AddressError(
            f"bus {card.bus} does not listen to other hosts: start it with -listen ADDRESS"
        )
    own = fresh()
    folder = card.folder / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    content = {"public": own.public.decode(), "made": time.time(), "may_end": may_end}
    _write(folder / f"{key_id(own.public)}.json", content)
    server = gateway["public"].encode()
    return TapKey(card.bus, card.run, gateway["address"], server, own, may_end)


def granted(folder: Path) -> list[Grant]:
    """Return the keys that a bus admits, the oldest first."""
    found = []
    for path in (folder / _FOLDER).glob("*.json"):
        content = _read(path)
        if content is not None and is_key(public := str(content.get("public")).encode()):
            may_end = content.get("may_end") is True
            found.append(Grant(path.stem, public, float(content.get("made", 0)), may_end))
    return sorted(found, key=lambda one: one.made)


def revoked(folder: Path) -> list[Path]:
    """Return the grants that are to end, and have not yet; for the gateway."""
    return list((folder / _FOLDER).glob("*.revoked"))


def revoke(card: Card, key: str) -> bool:
    """End a grant, and wait until its connections are closed.

    Returns
    -------
    bool
        False when the gateway does not say so in time; the key admits nobody any more.

    Raises
    ------
    AddressError
        When the bus has no such grant.
    """
    ids = [one.id for one in granted(card.folder)]
    if key not in ids:
        raise AddressError(f"bus {card.bus} has no key {key!r}: it has {', '.join(ids) or 'none'}")
    path = card.folder / _FOLDER / f"{key}.json"
    path.rename(path.with_suffix(".revoked"))
    deadline = time.monotonic() + _REVOKE_S
    while path.with_suffix(".revoked").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def key_file(key: TapKey) -> str:
    """Return what stands in a key file."""
    may = "look at, listen to, and end" if key.may_end else "look at and listen to"
    end = f"# caspy -stop {key.bus} key=FILE\n" if key.may_end else ""
    return (
        f"# Whoever has this file can {may} the bus {key.bus!r}. It is of no use after that.\n"
        f"# caspy -ls {key.bus} key=FILE\n# caspy --from-tap {key.bus}/ACTOR key=FILE\n{end}"
        f'[tap]\nid = "{key_id(key.own.public)}"\nbus = "{key.bus}"\nrun = "{key.run.hex()}"\n'
        f'address = "{key.address}"\nserver = "{key.server.decode()}"\n'
        f'public = "{key.own.public.decode()}"\nsecret = "{key.own.secret.decode()}"\n'
        f"may_end = {str(key.may_end).lower()}\n"
    )


def read_key(path: str) -> TapKey:
    """Return what a key file says.

    Raises
    ------
    AddressError
        When it cannot be read, others can read it, or it is no key file. The text never says what
        is in it.
    """
    try:
        with Path(path).open("rb") as file:
            state = os.fstat(file.fileno())
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise AddressError(f"cannot read the key file {path}: {error.strerror or error}") from None
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o177 or state.st_uid not in (os.getuid(), 0):
        raise AddressError(
            f"the key file {path} has mode {mode:04o}, others could use it: chmod 600 {path}"
        )
    try:
        said = tomllib.loads(text.decode())["tap"]
        run, server = bytes.fromhex(said["run"]), said["server"].encode()
        own = checked(said["public"].encode(), said["secret"].encode())
        may_end = said.get("may_end") is True
        key = TapKey(str(said["bus"]), run, str(said["address"]), server, own, may_end)
    except (ValueError, KeyError, TypeError, AttributeError, AddressError):
        key = None
    if (
        key is None
        or len(key.run) != RUN_BYTES
        or not (is_key(key.server) and host_of(key.address))
    ):
        raise AddressError(f"{path} is no key file: caspy -grant BUS > {path} makes one")
    return key


def key_for(path: str, bus: str) -> TapKey:
    """Return what a key file says, if it is for this bus; '' for whichever it is for.

    Raises
    ------
    AddressError
        As `read_key`, and for the key of another bus.
    """
    key = read_key(path)
    if bus and key.bus != bus:
        raise AddressError(f"the key {path} is for bus {key.bus!r}, not for {bus!r}")
    return key


def _write(path: Path, content: dict[str, Any]) -> None:
    number, name = tempfile.mkstemp(prefix=".new", dir=path.parent)  # of mode 0600
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(content, file)
    Path(name).replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
