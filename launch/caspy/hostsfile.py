"""The hosts file: what stands behind the names in ``@host``.

One table a host, all keys optional::

    [hosts.daq1]
    ssh = "operator@daq1.beamline.org"    # destination; default: the alias
    command = "/opt/caspy/bin/caspy"      # how caspy is started there; default: caspy
    bind = "192.168.7.1"                  # where its actors listen; default: it is asked
    cores = 16                            # its actors run on no more of them
    compress = "bslz4"                    # large arrays to and from it: auto, lz4, bslz4
    engine = "ssh"                        # or local, slurm; default: what -engine says
    [hosts.daq1.environment]
    HDF5_USE_FILE_LOCKING = "FALSE"
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from camagick_broker.squeeze import AUTO, CODECS
from caspy.errors import PlanError, Problem
from caspy.recipe import NOWHERE, At

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ENGINES = ("ssh", "local", "slurm")
#: Names of the host where the launcher runs.
HERE = ("localhost", "local", "home")
COMMAND = ("caspy",)

_ALIAS = re.compile(r"\w[\w.@:-]*")  # what may stand behind @, see `caspy.recipe.HOST`
# [user@]host, ssh://[user@]host[:port]; never what ssh would take for an option.
_DESTINATION = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:%+@/\[\]-]*")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Host:
    """A machine that actors can run on.

    Attributes
    ----------
    alias
        What it is called behind ``@``.
    destination
        What ``ssh`` is told: ``[user@]host``.
    command
        How caspy is started there, in words.
    bind
        The address that its actors bind, and that others connect to; None where it is to be found
        out.
    environment
        Variables for its actors.
    compress
        How large arrays are compressed on their way to it and from it; None where the run decides.
    cores
        On how many its actors run at most; None for all.
    engine
        'ssh', 'local' or 'slurm'; None where the run decides.
    """

    alias: str
    destination: str
    command: tuple[str, ...] = COMMAND
    bind: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cores: int | None = None
    compress: str | None = None
    engine: str | None = None


class Hosts:
    """All hosts of a file.

    Parameters
    ----------
    known
        By their aliases.
    """

    def __init__(self, known: Mapping[str, Host] | None = None) -> None:
        self._known = dict(known or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __contains__(self, alias: object) -> bool:
        return alias in self._known

    def get(self, alias: str) -> Host:
        """Return a host; one that is not in the file is an ssh destination, or this machine.

        Raises
        ------
        PlanError
            For what cannot be a destination.
        """
        if alias in self._known:
            return self._known[alias]
        if alias in HERE:
            return Host(alias, alias, engine="local")
        if not _DESTINATION.fullmatch(alias):
            raise PlanError(f'"{alias}" cannot be a host: expected an alias, host or user@host')
        return Host(alias, alias)


def read(path: str | Path) -> Hosts:
    """Return the hosts of a file.

    Raises
    ------
    PlanError
        Where the file cannot be read, or is wrong; the message names file, table and key.
    """
    hosts, problems = load(path)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        place = f"{problems[0].at.place}: " if problems[0].at.place else ""
        raise PlanError(f"{place}{problems[0].text}{more}")
    return hosts


def load(path: str | Path, at: At = NOWHERE) -> tuple[Hosts, list[Problem]]:
    """Return the hosts of a file, and all that is wrong with it; `at` is where it was named."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return Hosts(), [Problem(f"cannot read {path}: {error.strerror or error}", at)]
    except UnicodeDecodeError:
        return Hosts(), [Problem(f"{path} is no text in UTF-8", at)]
    return loads(text, str(path))


def loads(text: str, name: str) -> tuple[Hosts, list[Problem]]:
    """Return the hosts of a text, and all that is wrong with it; `name` is for the messages."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return Hosts(), [Problem(f"no valid TOML: {' '.join(str(error).split())}", At(place=name))]
    reader = _Reader(name)
    return reader.hosts(content), reader.problems


class _Wrong(Exception):
    """A value that does not fit its key; the text ends a sentence that begins with the key."""


class _Reader:
    """Turns plain data into hosts; goes on after a mistake, to find the next one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.problems: list[Problem] = []

    def _wrong(self, text: str, table: str = "") -> None:
        place = f"{self._name}: [{table}]" if table else self._name
        self.problems.append(Problem(text, At(place=place)))

    def hosts(self, content: Mapping[str, Any]) -> Hosts:
        """Return all tables as hosts."""
        for key in content.keys() - {"hosts"}:
            self._wrong(f'"{key}" does not belong here: a host is a table [hosts.ALIAS]')
        tables = content.get("hosts", {})
        if not isinstance(tables, dict):
            self._wrong(f"hosts is a table of hosts, not {_shown(tables)}")
            return Hosts()
        if not tables and not self.problems:
            self._wrong("there is no host in it: a host is a table [hosts.ALIAS]")
        return Hosts({alias: self._host(alias, said) for alias, said in tables.items()})

    def _host(self, alias: str, said: Any) -> Host:
        table = f"hosts.{alias}"
        if not _ALIAS.fullmatch(alias):
            self._wrong(f'"{alias}" cannot be an alias: letters, digits, and any of ._@:-', table)
        if not isinstance(said, dict):
            self._wrong(f"expected a table of settings, not {_shown(said)}", table)
            return Host(alias, alias)
        found = {}
        for key, value in said.items():
            if key not in _KEYS:
                self._wrong(_unknown(alias, key, value), table)
                continue
            field_name, check = _KEYS[key]
            try:
                found[field_name] = check(value)
            except _Wrong as wrong:
                self._wrong(f"{key} {wrong}", table)
        if alias in HERE:
            found.setdefault("engine", "local")
        if found.get("engine") == "local" and "destination" in found:
            self._wrong("ssh is given, but the engine is local: remove one of the two", table)
        return Host(alias, **{"destination": alias, **found})


def _unknown(alias: str, key: str, value: Any) -> str:
    if isinstance(value, dict):
        return f'no such key "{key}" (an alias with a dot is quoted: [hosts."{alias}.{key}"])'
    near = difflib.get_close_matches(key, _KEYS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(_KEYS)}"
    return f'no such key "{key}" ({hint})'


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"is text, not {_shown(value)}")
    if not value.isprintable() or not value.strip():
        raise _Wrong(f"is one line of text, not {value!r}")
    return value


def _destination(value: Any) -> str:
    if not _DESTINATION.fullmatch(_text(value)):
        raise _Wrong(f'is what ssh calls a destination, host or user@host, not "{value}"')
    return str(value)


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        words = tuple(map(_text, value))
    else:
        try:
            words = tuple(shlex.split(_text(value)))
        except ValueError as error:
            raise _Wrong(f"cannot be split into words: {str(error).lower()}") from None
    if not words:
        raise _Wrong("is a program with its arguments, not nothing")
    return words


def _bind(value: Any) -> str:
    text = _text(value).removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        # 192.168.7 and 1.2.3.4:5555 look like an address, and are none.
        if not _HOSTNAME.fullmatch(text) or text.rpartition(".")[2].isdigit():
            raise _Wrong(
                f'is an address or a name of the host, without port, not "{text}"'
            ) from None
        return text
    if address.is_unspecified or address.is_multicast:
        raise _Wrong(f"is an address that others can connect to, not {text}")
    return text


def _environment(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Wrong(f"is a table of variables, not {_shown(value)}")
    for key, text in value.items():
        if not _VARIABLE.fullmatch(key):
            raise _Wrong(f'has "{key}", which cannot be the name of a variable')
        if not isinstance(text, str):
            raise _Wrong(f"has {key} = {_shown(text)}: put it in quotes")
        if "\0" in text or "\n" in text:
            raise _Wrong(f"has {key}, which is not one line of text")
    return MappingProxyType(dict(value))


def _cores(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise _Wrong(f"is a whole number from 1 on, not {_shown(value)}")
    return value


def _engine(value: Any) -> str:
    if value not in ENGINES:
        raise _Wrong(f"is one of {', '.join(ENGINES)}, not {_shown(value)}")
    return str(value)


def _codec(value: Any) -> str:
    if value not in (AUTO, *CODECS):
        raise _Wrong(f"is one of {', '.join((AUTO, *CODECS))}, not {_shown(value)}")
    return str(value)


#: Key in the file: the attribute of `Host`, and what checks it.
_KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ssh": ("destination", _destination),
    "command": ("command", _command),
    "bind": ("bind", _bind),
    "environment": ("environment", _environment),
    "cores": ("cores", _cores),
    "compress": ("compress", _codec),
    "engine": ("engine", _engine),
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{type(value).__name__} {text[:30]}..."
