"""From the words of the pipeline to a recipe: brackets, processors, arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from caspy.errors import Problem
from caspy.recipe import BRACKETS, DEEPEST, HOST, MOST_WORKERS, At, Flow, Kind, Raw, Role, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.words import Word

_OPENING: dict[str, Kind] = {opening: kind for kind, (opening, _) in BRACKETS.items()}
_CLOSING: dict[str, Kind] = {closing: kind for kind, (_, closing) in BRACKETS.items()}
# A keyword: a name (a tag may hold dots, dashes and colons), and `=` that is not half of `==`.
# What ends in ! < > is no name, so that `a!=1` and `a<=1` are text.
_KEYWORD = re.compile(r"(\w[\w.:-]*)=(?!=)(.*)", re.DOTALL)
_QUESTIONS = ("?", "-?")


class Asked(NamedTuple):
    """The user asks for help on a processor, or (role None) on a flow."""

    role: Role | None
    name: str
    at: At


class Parsed(NamedTuple):
    """What a command line states."""

    pipes: list[Flow]
    problems: list[Problem]
    asked: list[Asked]


@dataclass(slots=True)
class _OpenStep:
    """A processor whose arguments are still being read."""

    role: Role
    name: str
    at: At
    args: list[Raw] = field(default_factory=list)
    params: dict[str, Raw] = field(default_factory=dict)
    places: dict[int | str, At] = field(default_factory=dict)
    workers: int = 1
    host: str = ""

    def close(self) -> Step:
        return Step(
            self.role, self.name, tuple(self.args), self.params, self.at, self.places,
            self.workers, self.host,
        )  # fmt: skip


@dataclass(slots=True)
class _OpenFlow:
    """A flow whose bracket is still open."""

    kind: Kind
    at: At
    children: list[Step | Flow | _OpenStep] = field(default_factory=list)
    host: str = ""

    def close(self) -> Flow:
        done = (one.close() if isinstance(one, _OpenStep) else one for one in self.children)
        return Flow(self.kind, tuple(done), self.at, self.host)


def parse(words: Sequence[Word]) -> Parsed:
    """Return the pipes that the words state, with everything that is wrong about them.

    Parameters
    ----------
    words
        The pipeline's words, in order.
    """
    parser = _Parser()
    for word in words:
        parser.take(word)
    parser.finish()
    return Parsed(parser.pipes, parser.problems, parser.asked)


class _Parser:
    """Reads words from left to right; goes on after a mistake, to find the next one."""

    def __init__(self) -> None:
        self.pipes: list[Flow] = []
        self.problems: list[Problem] = []
        self.asked: list[Asked] = []
        self._stack: list[_OpenFlow] = []
        self._top: _OpenFlow | None = None
        self._comma: At | None = None
        # What a word would belong to: a processor, a flow just opened or closed, or nothing.
        self._last: _OpenStep | _OpenFlow | None = None
        self._behind = ""

    def take(self, word: Word) -> None:
        """Read one word."""
        if word.text == "," and not self._stack:
            self._separate(word.at)
            return
        if self._top is None:
            self._top = _OpenFlow("chain", word.at)
        if word.text in _OPENING:
            self._open(word)
        elif word.text in _CLOSING:
            self._close(word)
        elif word.text.startswith("--"):
            self._processor(word)
        elif word.text in _QUESTIONS:
            self._question(word)
        elif word.text == ",":
            opening = BRACKETS[self._stack[-1].kind][0]
            self._wrong(f'"," inside "{opening}": it can only stand between whole pipes', word.at)
        else:
            self._argument(word)

    def finish(self) -> None:
        """Close what is open at the end of the line."""
        self._unclosed(self._stack)
        if self._comma is not None and self._top is None:
            self._wrong('no pipe behind ","', self._comma)
        self._end_pipe()

    def _wrong(self, text: str, at: At) -> None:
        self.problems.append(Problem(text, at))

    def _separate(self, at: At) -> None:
        if self._top is None:
            self._wrong('no pipe before ","', at)
        self._end_pipe()
        self._comma = at
        self._last, self._behind = None, 'behind ","'

    def _end_pipe(self) -> None:
        if self._top is not None and (self._top.children or not self.problems):
            self.pipes.append(self._top.close())
        self._top = None

    def _inner(self) -> _OpenFlow:
        """Return the flow that the next processor belongs to."""
        if self._stack:
            return self._stack[-1]
        assert self._top is not None  # noqa: S101 - for the type checker: `take` made it
        return self._top

    def _open(self, word: Word) -> None:
        flow = _OpenFlow(_OPENING[word.text], word.at)
        self._last, self._behind = flow, f'behind "{word.text}"'
        if len(self._stack) == DEEPEST:
            self._wrong(f"brackets nested deeper than {DEEPEST}", word.at)
        self._stack.append(flow)

    def _close(self, word: Word) -> None:
        kind = _CLOSING[word.text]
        self._behind = f'behind "{word.text}"'
        if not self._stack:
            self._last = None
            self._wrong(f'"{word.text}" closes nothing', word.at)
            return
        if self._stack[-1].kind != kind:
            depth = next((d for d, one in enumerate(reversed(self._stack)) if one.kind == kind), 0)
            if depth:
                self._unclosed(self._stack[-depth:])
            else:
                opening, closing = BRACKETS[self._stack[-1].kind]
                self._wrong(f'"{word.text}" closes "{opening}": write "{closing}"', word.at)
        self._last = self._stack[-1]
        self._pop()

    def _pop(self) -> None:
        """Put the innermost flow into the one around it."""
        flow = self._stack.pop()
        if len(self._stack) < DEEPEST:
            self._inner().children.append(flow.close())

    def _unclosed(self, flows: Sequence[_OpenFlow]) -> None:
        for flow in list(flows):
            opening, closing = BRACKETS[flow.kind]
            self._wrong(f'"{opening}" is never closed: a "{closing}" is missing', flow.at)
            self._pop()

    def _processor(self, word: Word) -> None:
        role, name = role_and_name(word.text)
        step = _OpenStep(role, name, word.at)
        self._last = step
        if not name:
            self._wrong(f'the name of a processor is missing behind "{word.text}"', word.at)
        else:
            self._inner().children.append(step)

    def _question(self, word: Word) -> None:
        if isinstance(self._last, _OpenStep):
            self.asked.append(Asked(self._last.role, self._last.name, self._last.at))
        elif isinstance(self._last, _OpenFlow):
            self.asked.append(Asked(None, self._last.kind, self._last.at))
        else:
            self._wrong(
                f'"{word.text}" asks for help on the processor before it: there is none', word.at
            )

    def _argument(self, word: Word) -> None:
        step = self._last
        places = word.text.startswith("@") and "=" not in word.text
        if places and isinstance(step, _OpenFlow) and step in self._stack:
            self._host(step, word)
            return
        if not isinstance(step, _OpenStep):
            where = self._behind or "before the first processor"
            self._wrong(f'"{word.text}" stands {where} and belongs to no processor', word.at)
            return
        match = _KEYWORD.fullmatch(word.text)
        if word.text.startswith("@"):
            self._placing(step, word)
        elif match is None:
            step.places[len(step.args)] = word.at
            step.args.append(Raw(word.text))
        elif match[1] in step.params:
            self._wrong(f'"{match[1]}" is given twice', word.at)
        else:
            step.places[match[1]] = word.at
            step.params[match[1]] = Raw(match[2])

    def _placing(self, step: _OpenStep, word: Word) -> None:
        """Read how a processor is to be run, rather than what it does."""
        name, equals, value = word.text.partition("=")
        if not equals and name != "@workers":
            self._host(step, word)
        elif name != "@workers":
            text = f'no such word "{name}" (@HOST, @workers=N; as text: \'"{word.text}"\')'
            self._wrong(text, word.at)
        elif name in step.places:
            self._wrong(f'"{name}" is given twice', word.at)
        elif not (value.isdecimal() and 1 <= int(value) <= MOST_WORKERS):
            self._wrong(f"@workers=N: N is a whole number from 1 to {MOST_WORKERS}", word.at)
        else:
            step.places[name] = word.at
            step.workers = int(value)

    def _host(self, thing: _OpenStep | _OpenFlow, word: Word) -> None:
        """Read where a processor, or all of a flow, is to run."""
        if thing.host:
            self._wrong(f'a second host: it is "@{thing.host}" already', word.at)
        elif not HOST.fullmatch(word.text[1:]):
            text = f'"{word.text}" names no host (@HOST or @HOST|OTHER; as text: \'"{word.text}"\')'
            self._wrong(text, word.at)
        else:
            thing.host = word.text[1:]


def role_and_name(text: str) -> tuple[Role, str]:
    """Split the word that names a processor, ``--from-epics``, into its role and name."""
    for prefix, role in (("--from", "source"), ("--to", "sink")):
        if text == prefix or text.startswith(f"{prefix}-"):
            return role, text[len(prefix) + 1 :]  # type: ignore[return-value]
    return "pipe", text[2:]
