"""What a numpy docstring says about parameters: for help, completion and documents."""

from __future__ import annotations

import inspect
import re
import textwrap
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


def reflowed(doc: str | None, width: int = 79) -> str:
    """Return a docstring with its paragraphs filled to a width; code, lists and titles stay."""
    lines = inspect.cleandoc(doc or "").splitlines()
    made: list[str] = []
    paragraph: list[str] = []
    code_from: int | None = None

    def close() -> None:
        nonlocal code_from
        if paragraph:
            indent = _indent(paragraph[0])
            text = " ".join(line.strip() for line in paragraph)
            hanging = " " * (indent + (2 if _is_item(text) else 0))
            made.extend(
                textwrap.wrap(
                    text, width, initial_indent=" " * indent, subsequent_indent=hanging,
                    break_long_words=False, break_on_hyphens=False,
                )
            )  # fmt: skip
            code_from = indent + 1 if text.endswith("::") else code_from
        paragraph.clear()

    for number, line in enumerate([*lines, ""]):
        if line.strip() and code_from is not None and _indent(line) < code_from:
            code_from = None
        below = lines[number + 1] if number + 1 < len(lines) else ""
        verbatim = set(line.strip()) == {"-"} or set(below.strip()) == {"-"} or _ENTRY.match(line)
        if not line.strip() or code_from is not None or verbatim:
            close()
            made.extend(broken(line, width))
            continue
        if paragraph and (_is_item(line.strip()) or _indent(line) < _indent(paragraph[0])):
            close()
        paragraph.append(line)
    return "\n".join(made[:-1])


def broken(line: str, width: int) -> list[str]:
    """Return a command that is too long as several lines that a shell reads as one."""
    if len(line) <= width or "caspy " not in line:
        return [line]
    indent = " " * _indent(line)
    lines = textwrap.wrap(
        line.strip(), width - len(indent) - 2, subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [f"{indent}{one} \\" for one in lines[:-1]] + [indent + lines[-1]]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_item(text: str) -> bool:
    return text.startswith(("* ", "- "))
