"""How branches come together again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.data import Data, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """What one branch of a fanout delivered.

    Attributes
    ----------
    data, context
        Its result.
    label
        Name of its last processor, '' for a branch that is only wiring.
    members
        Serial numbers of the processors in it.
    """

    data: Data
    context: Data
    label: str
    members: frozenset[int]


class Merger:
    """Merges branches in their order, and says once where names had to be changed.

    A value that left several branches untouched is one value. Different values under one tag each
    get the label of their branch (`x_sum`, `x_min`), with a number where that is not unique; what
    merely passed through keeps the bare tag. Of different values under one key of the context, the
    later branch wins.
    """

    def __init__(self) -> None:
        self._said: set[tuple[str, ...]] = set()

    def __call__(self, parts: Sequence[Part]) -> tuple[Data, Data]:
        """Return data and context of all `parts`."""
        data = self._merge_data(parts)
        return data, self._merge_context(parts)

    def _merge_data(self, parts: Sequence[Part]) -> Data:
        values: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        for part in parts:
            known = part.data.marks
            for tag, value in part.data.items():
                mark = known.get(tag)
                if mark is None or mark.value is not value:
                    mark = Mark(0, tag, {}, value)
                first = marks.setdefault(tag, mark)
                if first is mark:
                    values[tag] = value
                elif first.maker != mark.maker or first.tag != mark.tag:
                    return self._with_new_names(parts)
        return Data(values, marks)

    def _with_new_names(self, parts: Sequence[Part]) -> Data:
        rows = [(part, tag, _mark(part.data, tag)) for part in parts for tag in part.data]
        origins: dict[str, set[tuple[int, str]]] = {}
        for _, tag, mark in rows:
            origins.setdefault(tag, set()).add((mark.maker, mark.tag))
        taken = set(origins)
        values: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        bare: set[str] = set()
        done: set[tuple[str, int, str]] = set()
        for part, tag, mark in rows:
            if (tag, mark.maker, mark.tag) in done:
                continue
            done.add((tag, mark.maker, mark.tag))
            name = tag
            if len(origins[tag]) > 1 and (_made_in(part, tag, mark) or tag in bare):
                name = _unique(f"{tag}_{part.label or 'other'}", taken)
                self._warn(_RENAMED, tag, name)
            else:
                bare.add(tag)
            values[name], marks[name] = mark.value, mark
        return Data(values, marks)

    def _merge_context(self, parts: Sequence[Part]) -> Data:
        context = Data()
        set_before: set[str] = set()
        for part in parts:
            if not part.context:
                continue
            for key in part.context:
                is_set = _mark(part.context, key).maker in part.members
                if key in context and not is_set:
                    continue
                if key in set_before:
                    self._warn(_SET_TWICE, key)
                if is_set:
                    set_before.add(key)
                context.take(part.context, [key])
        return context

    def _warn(self, text: str, *names: str) -> None:
        if (text, *names) not in self._said:
            self._said.add((text, *names))
            log.warning('msg="%s"', text.format(*names))


def _mark(data: Data, tag: str) -> Mark:
    return data.mark(tag) or Mark(0, tag, {}, data[tag])


def _made_in(part: Part, tag: str, mark: Mark) -> bool:
    return bool(part.label) and (mark.maker in part.members or mark.tag != tag)


def _unique(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


_RENAMED = "{} comes out of several branches: one is now called {} (--rename chooses other names)"
_SET_TWICE = "context key {} is set by several branches: the later one wins"
