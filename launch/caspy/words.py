"""Words of the command line: which are the launcher's options, and where each one stands."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from caspy.errors import Problem
from caspy.recipe import At

if TYPE_CHECKING:
    from collections.abc import Sequence

BRACKET_WORDS = ("[", "]", "{", "}")
_PLAIN = re.compile(r"[\w@%+=:,./{}\[\]?*^~-]+")
_WIDTH = 96


class Word(NamedTuple):
    """A word of the pipeline and its index on the command line."""

    text: str
    at: At


@dataclass(frozen=True, slots=True)
class Takes:
    """What an option is followed by.

    Attributes
    ----------
    value
        'never', 'always', or 'perhaps': the option means something by itself, too.
    default
        What it means by itself.
    choices
        The only words that are taken as the value of a 'perhaps'; empty for any.
    """

    value: str = "never"
    default: str = ""
    choices: tuple[str, ...] = ()


#: The launcher's options, without their dash.
OPTIONS = {
    "h": Takes(),
    "help": Takes(),
    "version": Takes(),
    "list-all": Takes(),
    "completion": Takes("always"),
    "save": Takes("perhaps", "-"),
    "yaml": Takes("always"),
    "emit": Takes("always"),
    "plan": Takes("perhaps", "text", ("text", "dot", "mermaid", "json")),
    "window": Takes("always"),
    "count": Takes("always"),
    "bus": Takes("always"),
    "restart": Takes("always"),
    "hosts": Takes("always"),
    "engine": Takes("always"),
    "ports": Takes("always"),
    "compress": Takes("always"),
    "patience": Takes("always"),
    "insecure": Takes(),
    "agent": Takes(),
    "hang": Takes("always"),
    "on-error": Takes("always"),
    "ls": Takes("perhaps"),
    "top": Takes("perhaps"),
    "stop": Takes("always"),
    "listen": Takes("always"),
    "grant": Takes("always"),
    "revoke": Takes("always"),
    "web": Takes("perhaps"),
    "web-control": Takes("always"),
    "stats": Takes("always"),
    "metrics": Takes("always"),
}
#: What programs say, not people.
HIDDEN = ("agent",)
#: Beginnings that mean one option, though others begin so as well.
SHORT = {"p": "plan", "c": "count", "l": "list-all", "s": "save", "w": "window"}


class Given(NamedTuple):
    """One option as it was given; `value` is None where it takes none."""

    name: str
    value: str | None
    at: At
    value_at: At


@dataclass(slots=True)
class Sorted:
    """A command line, sorted into options and pipeline."""

    options: list[Given] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def is_option(text: str) -> bool:
    """Tell whether a word is an option of the launcher: ``-save``, but not ``-1`` or ``-inf``."""
    if not re.match(r"-[^\W\d_]", text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def sort(argv: Sequence[str]) -> Sorted:
    """Sort a command line into options, which may stand anywhere, and the pipeline."""
    result = Sorted()
    index = 0
    while index < len(argv):
        text, at = argv[index], At(index)
        index += 1
        if text == "--help":
            result.options.append(Given("help", None, at, at))
        elif not is_option(text):
            result.words.append(Word(text, at))
        else:
            given, used = _option(argv, index - 1)
            index += used
            if isinstance(given, Problem):
                result.problems.append(given)
            elif any(other.name == given.name != "help" for other in result.options):
                result.problems.append(Problem(f"option -{given.name} is given twice", at))
            else:
                result.options.append(given)
    return result


def _option(argv: Sequence[str], index: int) -> tuple[Given | Problem, int]:
    """Return the option at `index`, and how many words behind it belong to it."""
    at = At(index)
    text, equals, joined = argv[index][1:].partition("=")
    name = _complete(text, at)
    if isinstance(name, Problem):
        return name, 0
    takes = OPTIONS[name]
    if takes.value == "never":
        if equals:
            return Problem(f"option -{name} takes no value", at), 0
        return Given(name, None, at, at), 0
    if equals:
        return Given(name, joined, at, at), 0
    behind = argv[index + 1] if index + 1 < len(argv) else None
    if behind is not None and _is_value(behind, takes):
        return Given(name, behind, at, At(index + 1)), 1
    if takes.value == "perhaps":
        return Given(name, takes.default, at, at), 0
    return Problem(f"option -{name} needs a value behind it", at), 0


def _is_value(word: str, takes: Takes) -> bool:
    """Tell whether the word behind an option is its value."""
    if takes.choices:
        return word in takes.choices
    if word.startswith("--") or is_option(word):
        return False
    return takes.value == "always" or word not in (*BRACKET_WORDS, ",", "?", "-?")


def _complete(text: str, at: At) -> str | Problem:
    """Return the one option that `text` is the beginning of."""
    if text in OPTIONS:
        return text
    if text in SHORT:
        return SHORT[text]
    fitting = [name for name in OPTIONS if name.startswith(text) and name not in HIDDEN]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choice = " or ".join(f"-{name}" for name in sorted(fitting))
        return Problem(f"option -{text} could be {choice}: write one more letter", at)
    near = difflib.get_close_matches(text, OPTIONS, n=1)
    if near:
        return Problem(f'no such option "-{text}" (did you mean "-{near[0]}"?)', at)
    return Problem(
        f'no such option "-{text}" (caspy -h lists them; as text for a processor: \'"-{text}"\')',
        at,
    )


def shown(word: str) -> str:
    """Return a word as it would be typed into a shell, on one line."""
    word = _printable(word)
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)


def _printable(text: str) -> str:
    """Return a text without anything that would move a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def report(argv: Sequence[str], problem: Problem) -> str:
    """Return a problem in one line, and where it has a place on the command line, that below it."""
    place = f"{problem.at.place}: " if problem.at.place else ""
    lines = [_printable(f"caspy: {place}{problem.text}")]
    if problem.at.word >= 0:
        lines += pointer(argv, problem.at.word)
    return "\n".join(lines)


def pointer(argv: Sequence[str], index: int) -> list[str]:
    """Return the command line, and below it carets under the word at `index`.

    A long line is cut around that word.
    """
    parts = ["caspy", *map(shown, argv)]
    start = sum(len(part) + 1 for part in parts[: index + 1])
    end = start + len(parts[index + 1])
    line = " ".join(parts)
    left = right = ""
    if len(line) > _WIDTH:
        cut = max(0, min(start - _WIDTH // 3, len(line) - _WIDTH))
        stop = max(cut + _WIDTH, end)
        left, right = "... " if cut else "", " ..." if stop < len(line) else ""
        line, start, end = line[cut:stop], start - cut, end - cut
    return [f"    {left}{line}{right}", " " * (4 + len(left) + start) + "^" * (end - start)]
