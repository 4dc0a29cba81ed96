"""What could be typed next on a command line: for the Tab key of a shell.

A shell asks by calling ``caspy`` with the line so far in the variable CASPY_COMPLETE; the answer is
a line for each word that fits: the word, a tab, what it means. PVs are not among them: nobody may
search a control system because somebody has pressed a key.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from caspy import catalogue
from caspy.errors import CatalogueError
from caspy.recipe import flag
from caspy.words import BRACKET_WORDS, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BUSES = ("ls", "top", "stop", "grant", "revoke")
#: What may stand behind the name of a bus.
_KEY = {"key=": "key file, for a bus on another host"}
_BEHIND_BUS = {
    "ls": _KEY,
    "top": _KEY,
    "stop": _KEY,
    "grant": {
        "--read-only": "to look and listen, not to end the run",
        "--list": "what was granted",
        "--show": "even on a terminal",
        "--address=": "how others call this host",
    },
}
_TRUTH = ("yes", "no")


def answer(line: str, options: Mapping[str, str]) -> str:
    """Return what fits behind `line`, as the shells' functions read it.

    Parameters
    ----------
    line
        The command line up to the cursor, with the command itself.
    options
        Help on the launcher's options, by name without dash.
    """
    *before, word = _split(line)
    rows = [row for row in _candidates(before, word, options) if row[0].startswith(word)]
    return "".join(f"{text}\t{' '.join(meaning.split())}\n" for text, meaning in rows)


def _split(line: str) -> list[str]:
    """Return the words behind the command; the last one is that under the cursor."""
    open_word = line[-1:].isspace()
    for closing in ("", '"', "'"):
        try:
            words = shlex.split(line + closing)[1:]
        except ValueError:  # within quotes
            continue
        return [*words, ""] if open_word and not closing else words or [""]
    return [""]


def _candidates(
    before: Sequence[str], word: str, options: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    option = _option(before[-1:])
    if behind := _BEHIND_BUS.get(_option(before[-2:-1])):
        yield from behind.items()
        return
    if option in OPTIONS and OPTIONS[option].choices:
        yield from ((choice, "") for choice in OPTIONS[option].choices)
    elif option in _BUSES:
        yield from _buses()
    elif option in OPTIONS and OPTIONS[option].value == "always":
        return  # a number, a name, or a file, which is the shell's affair
    elif word.startswith("--"):
        yield from _processors()
    elif word.startswith("-"):
        yield from ((f"-{name}", options.get(name, "")) for name in OPTIONS if name in options)
        yield from _processors() if word == "-" else ()
    else:
        yield from _arguments(before, word)


def _option(words: Sequence[str]) -> str:
    """Return the launcher's option that a word is, '' for none."""
    last = words[0] if words else ""
    return last[1:] if last[:1] == "-" != last[1:2] else ""


def _processors() -> Iterator[tuple[str, str]]:
    for role in catalogue.ROLES:
        for name, entry in catalogue.entries(role).items():
            yield flag(role, name), catalogue.info(entry).summary


def _buses() -> Iterator[tuple[str, str]]:
    from camagick_broker.running import running

    for card in running():
        yield card.bus, " ".join(card.command)


def _arguments(before: Sequence[str], word: str) -> Iterator[tuple[str, str]]:
    """Yield what the processor named last takes, and brackets."""
    cls = _open_processor(before)
    name, equals, _ = word.partition("=")
    if cls is not None:
        from caspy.casting import parameters
        from caspy.docstring import parameters as documented

        known, said = parameters(cls), documented(cls.__doc__)
        if equals:
            yield from ((f"{name}={value}", "") for value in _values(known, said, name))
            return
        for key, one in known.items():
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                yield f"{key}=", said[key].brief if key in said else ""
    if not equals:
        yield from ((bracket, "") for bracket in BRACKET_WORDS)


def _values(known: Mapping[str, Any], said: Mapping[str, Any], name: str) -> Sequence[str]:
    if name in said and said[name].choices:
        return list(said[name].choices)
    return _TRUTH if name in known and known[name].annotation is bool else ()


def _open_processor(before: Sequence[str]) -> type[Any] | None:
    """Return the class of the processor whose arguments are being typed."""
    for word in reversed(before):
        if word in BRACKET_WORDS or word == ",":
            return None
        if word.startswith("--"):
            return _loaded(word)
    return None


def _loaded(word: str) -> type[Any] | None:
    from caspy.parse import role_and_name

    try:
        role, name = role_and_name(word)
        return None if catalogue.is_external(name) else catalogue.load(role, name)
    except CatalogueError:
        return None
