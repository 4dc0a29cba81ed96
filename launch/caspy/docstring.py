"""What a numpy docstring says about parameters: for help, completion and documents."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

_SECTION = re.compile(r"^(?P<title>\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (?P<type>.*))?$")
_CHOICES = re.compile(r"\{(?P<inside>[^}]*)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a docstring says about one parameter.

    Attributes
    ----------
    type
        What it may be, as it is written: ``float, default 0.1``.
    text
        What it means; paragraphs joined by newlines.
    """

    type: str = ""
    text: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be, where the type is ``{'a', 'b'}``."""
        match = _CHOICES.search(self.type)
        if match is None:
            return ()
        words = (word.strip().strip("'\"") for word in match["inside"].split(","))
        return tuple(word for word in words if word)

    @property
    def brief(self) -> str:
        """The first sentence."""
        line = " ".join(self.text.split())
        end = re.search(r"[.;:](?= [A-Z`(]|$)|;", line)
        return line[: end.start()] if end else line


def sections(doc: str | None) -> dict[str, str]:
    """Return the text of each section by its title; what comes first is under ''."""
    text = inspect.cleandoc(doc or "")
    found: dict[str, str] = {}
    title, begin = "", 0
    for match in _SECTION.finditer(text):
        found[title] = text[begin : match.start()].strip("\n")
        title, begin = match["title"], match.end()
    found[title] = text[begin:].strip("\n")
    return found


def parameters(doc: str | None) -> dict[str, Parameter]:
    """Return what is said about each parameter, by its name without stars."""
    found: dict[str, Parameter] = {}
    names: list[str] = []
    kind, lines = "", list[str]()

    def close() -> None:
        text = inspect.cleandoc("\n".join(["", *lines])).strip()
        for name in names:
            found[name] = Parameter(kind, text)

    for line in sections(doc).get("Parameters", "").splitlines():
        match = _ENTRY.match(line)
        if match is None:
            lines.append(line)
            continue
        close()
        names = [name.lstrip("*") for name in match["names"].split(", ")]
        kind, lines = match["type"] or "", []
    close()
    return found
