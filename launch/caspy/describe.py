"""Help on one processor, and the list of all of them."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from caspy import casting, catalogue
from caspy.docstring import reflowed
from caspy.errors import CatalogueError, Problem
from caspy.recipe import BRACKETS, Kind, Role, flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.parse import Asked

_WIDTH = 79
#: A blank at which no line is broken.
_GLUE = "\N{NO-BREAK SPACE}"
TITLES: dict[Role, str] = {
    "source": "Sources, where data comes from",
    "pipe": "Pipes, what is done to it",
    "sink": "Sinks, where it goes",
}


def describe(role: Role, name: str) -> str:
    """Return the help on a processor: what it is for, and how it is called.

    Raises
    ------
    CatalogueError
        When there is no such processor, or it cannot be imported.
    """
    cls = catalogue.load(role, name)
    known = list(casting.parameters(cls).values())
    parts = [
        _heading(f'The {role} "{name}"'),
        reflowed(cls.__doc__) or "No description.",
        call(role, name, known),
    ]
    setup = cls.__init__.__doc__ if "__init__" in vars(cls) else None
    if setup:
        parts.insert(2, reflowed(setup))
    if known:
        parts.append(_table(known))
    missing = catalogue.Info("", tuple(cls.requires), cls.extra).missing()
    if missing:
        parts.append(catalogue.needs(role, name, missing, cls.extra))
    return "\n\n".join(parts)


def explain(asked: Sequence[Asked]) -> tuple[str, list[Problem]]:
    """Return the help on all that was asked for, and what could not be explained."""
    texts, problems = [], []
    for question in asked:
        try:
            if question.role is None:
                texts.append(describe_flow("chain" if question.name == "chain" else "fanout"))
            else:
                texts.append(describe(question.role, question.name))
        except CatalogueError as error:
            problems.append(Problem(str(error), question.at, error.__cause__))
    return "\n\n\n".join(texts), problems


def describe_flow(kind: Kind) -> str:
    """Return the help on a flow."""
    import importlib

    opening, closing = BRACKETS[kind]
    cls = importlib.import_module(f"camagick.flow.{kind}").Processor
    return f"{_heading(f'{opening} ... {closing}: {kind}')}\n\n{reflowed(cls.__doc__)}"


def list_all() -> str:
    """Return one line for each processor there is, by role."""
    blocks = []
    for role, title in TITLES.items():
        found = catalogue.entries(role)
        lines = [(flag(role, name), _summary(entry)) for name, entry in found.items()]
        blocks.append(_block(title, lines))
    flows = catalogue.entries("flow")
    rows = [
        (" ".join(pair), catalogue.info(flows[kind]).summary)
        for kind, pair in BRACKETS.items()
        if kind in flows
    ]
    blocks.append(_block("Flows, how they are put together", rows))
    return "\n\n".join(blocks) + "\n\n`caspy --NAME ?` explains one of them.\n"


def _summary(entry: catalogue.Entry) -> str:
    info = catalogue.info(entry)
    if not info.missing():
        return info.summary
    what = f"'.[{info.extra}]'" if info.extra else info.missing()
    return f"{info.summary} (needs pip install {what})"


def _block(title: str, rows: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    lines = [
        textwrap.fill(
            summary, _WIDTH, initial_indent=f"  {name:{width}}  ",
            subsequent_indent=" " * (width + 4), break_on_hyphens=False,
        ).rstrip()
        for name, summary in rows
    ]  # fmt: skip
    return "\n".join([f"{title}:", *(lines or ["  (none)"])])


def _heading(text: str) -> str:
    return f"{text}\n{'=' * len(text)}"


def call(role: Role, name: str, known: list[inspect.Parameter]) -> str:
    """Return how the processor is written on the command line."""
    line = " ".join([flag(role, name), *(_argument(one).replace(" ", _GLUE) for one in known)])
    lines = textwrap.wrap(
        line, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(lines).replace(_GLUE, " ")


def _argument(one: inspect.Parameter) -> str:
    if one.kind is one.VAR_POSITIONAL:
        return f"[{one.name} ...]"
    if one.kind is one.VAR_KEYWORD:
        return "[NAME=VALUE ...]"
    text = f"{one.name}=..." if one.kind is one.KEYWORD_ONLY else one.name
    return text if one.default is one.empty else f"[{text}]"


def _table(known: list[inspect.Parameter]) -> str:
    """Return name, type and default of every argument, in columns."""
    rows = [(_name(one), _type(one), default_of(one)) for one in known]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"    {name:{widths[0]}}  {kind:{widths[1]}}  {rest}" for name, kind, rest in rows]
    return "\n".join(["Arguments:", *(line.rstrip() for line in lines)])


def _name(one: inspect.Parameter) -> str:
    if one.kind is one.VAR_KEYWORD:
        return "NAME=VALUE ..."
    return f"{one.name} ..." if one.kind is one.VAR_POSITIONAL else one.name


def _type(one: inspect.Parameter) -> str:
    if one.annotation is one.empty:
        return ""
    if isinstance(one.annotation, str):
        return one.annotation
    return inspect.formatannotation(one.annotation).replace("typing.", "")


def default_of(one: inspect.Parameter) -> str:
    """Return how an argument's default is shown."""
    if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
        return "any number"
    if one.default is one.empty:
        return "required"
    default: Any = one.default
    return f"default {default!r}"
