"""The reference pages in ``docs/processors/``, made from what the processors say of themselves.

``python -m caspy.manual docs/processors`` writes them; `make docs` does.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from caspy import casting, catalogue
from caspy.describe import TITLES, call, default_of, describe_flow
from caspy.docstring import Parameter, parameters, sections
from caspy.recipe import BRACKETS, Role, flag

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator

_MADE = "<!-- Made by `make docs` from the code: change the docstring, not this page. -->\n"


def page(role: Role, name: str) -> str:
    """Return the page of one processor, as Markdown.

    Raises
    ------
    CatalogueError
        When there is no such processor, or what it needs is not installed.
    """
    cls = catalogue.load(role, name)
    known = casting.parameters(cls)
    parts = sections(cls.__doc__)
    text = [_MADE, f"# `{flag(role, name)}`\n", f"{_markdown(parts.pop('', ''))}\n"]
    text.append(call(role, name, list(known.values())) + "\n")
    if parts.pop("Parameters", ""):
        text.append("\n".join(_table(known, parameters(cls.__doc__))) + "\n")
    text += [f"## {title}\n\n{_markdown(body)}\n" for title, body in parts.items()]
    if cls.extra:
        text.append(f"Needs `pip install 'camagick[{cls.extra}]'`.\n")
    return "\n".join(text)


def index() -> str:
    """Return the page that lists all processors."""
    text = [_MADE, "# All processors\n"]
    for role, title in TITLES.items():
        text.append(f"## {title}\n\n| processor | what it does |\n|---|---|")
        for name, entry in catalogue.entries(role).items():
            link = f"[`{flag(role, name)}`]({page_name(role, name)})"
            text.append(f"| {link} | {catalogue.info(entry).summary} |")
        text.append("")
    for kind in BRACKETS:
        heading, _, body = describe_flow(kind).partition("\n")
        body = body.partition("\n")[2].strip()
        text.append(f"## `{heading}`\n\n{_markdown(body)}\n")
    return "\n".join(text)


def page_name(role: Role, name: str) -> str:
    """Return the name of a processor's file."""
    return f"{flag(role, name).lstrip('-')}.md"


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    yield "README.md", index()
    for role in catalogue.ROLES:
        for name in catalogue.entries(role):
            yield page_name(role, name), page(role, name)


def _markdown(text: str) -> str:
    """Return a docstring's text with the marks of Markdown."""
    return re.sub(r"::$", ":", text, flags=re.MULTILINE).replace("``", "`")


def _table(known: dict[str, inspect.Parameter], said: dict[str, Parameter]) -> Iterator[str]:
    yield "| argument | is | default | meaning |\n|---|---|---|---|"
    for name, one in known.items():
        about = said.get(name, Parameter())
        stars = " ..." if one.kind is one.VAR_POSITIONAL else ""
        stars = "=..." if one.kind is one.VAR_KEYWORD else stars
        kind = about.type.partition(", ")[0] if "{" not in about.type else about.type
        meaning = " ".join(about.text.split()).replace("|", "\\|").replace("``", "`")
        shown = "" if stars else default_of(one)
        yield f"| `{name}{stars}` | {kind.replace('|', 'or')} | {shown} | {meaning} |"


def main() -> int:
    """Write all pages into the folder that is named, and remove what is there no more."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    made = dict(pages())
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
