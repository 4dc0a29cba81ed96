"""When an EPICS source starts an iteration, and what it then hands on. Knows no network."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from camagick.errors import BadOption

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"(?P<pv>\S+?)\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+)")

Readings = Mapping[str, Any]  # by PV: things with .value and .attributes


class Condition(NamedTuple):
    """One comparison of a PV with a constant."""

    pv: str
    operator: str
    value: Any

    def holds(self, reading: Any) -> bool:
        """Tell whether it is fulfilled by a reading."""
        value = reading.value
        labels = reading.attributes.get("enum_strings", ())
        if isinstance(value, str) and not isinstance(self.value, str) and value in labels:
            value = labels.index(value)
        if isinstance(self.value, str) and not isinstance(value, str):
            value = (
                labels[int(value)] if np.ndim(value) == 0 and value < len(labels) else str(value)
            )
        try:
            return bool(np.all(_OPERATORS[self.operator](value, self.value)))
        except TypeError:  # text is neither below nor above a number
            return False


class Guide:
    """All conditions of a `when=`, and whether they have just become fulfilled.

    Parameters
    ----------
    text
        ``PV==VALUE``, also with != < > <= >=, several joined by ``and``; quotes around it go.

    Raises
    ------
    BadOption
        When it is not that.
    """

    def __init__(self, text: str) -> None:
        parts = re.split(r"\s+and\s+", _unquoted(text))
        self.conditions = [_condition(part.strip(), text) for part in parts]
        self.pvs = list(dict.fromkeys(condition.pv for condition in self.conditions))
        self._fulfilled = False

    def turns(self, readings: Readings) -> bool:
        """Tell whether the guide is fulfilled by `readings`, and was not at the last look."""
        before = self._fulfilled
        self._fulfilled = all(
            condition.pv in readings and condition.holds(readings[condition.pv])
            for condition in self.conditions
        )
        return self._fulfilled and not before


def _condition(part: str, text: str) -> Condition:
    match = _CONDITION.fullmatch(part)
    if match is None:
        raise BadOption(f"when={text!r}: {part!r} is not of the form PV==VALUE (or != < > <= >=)")
    return Condition(match["pv"], match["operator"], _constant(_unquoted(match["value"])))


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _constant(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class Trigger:
    """The newest value of every PV, for each iteration ("sloppy"); other modes are subclasses.

    Parameters
    ----------
    pvs
        The PVs that are handed on.
    """

    #: Whether an iteration needs each PV to have delivered once.
    needs_all: bool = True

    def __init__(self, pvs: Sequence[str]) -> None:
        self.pvs = list(dict.fromkeys(pvs))
        self.newest: dict[str, Any] = {}
        self.fresh: set[str] = set()
        self.overruns = 0

    def complete(self) -> bool:
        """Tell whether each PV has delivered once."""
        return all(pv in self.newest for pv in self.pvs)

    def waive(self) -> None:
        """Go on without the PVs that have not delivered yet."""
        self.needs_all = False

    def event(self, pv: str, reading: Any) -> None:
        """Take note of a monitor event."""
        self.newest[pv] = reading
        if pv in self.pvs:
            self.fresh.add(pv)

    def learn(self, pv: str, reading: Any) -> None:
        """Take note of a value that was handed on already: no reason for an iteration."""
        self.newest[pv] = reading

    def pending(self) -> bool:
        """Tell whether there is reason for an iteration."""
        return bool(self.fresh)

    def take(self) -> Readings:
        """Return what the iteration gets, and forget the reason for it."""
        self.fresh.clear()
        return dict(self.newest)


class Hasty(Trigger):
    """Only what has changed since the iteration before."""

    needs_all = False

    def take(self) -> Readings:
        changed = {pv: self.newest[pv] for pv in self.pvs if pv in self.fresh}
        self.fresh.clear()
        return changed


class Thorough(Trigger):
    """The newest of all, once all have changed."""

    def pending(self) -> bool:
        return self.fresh.issuperset(self.pvs)


class Continuous(Trigger):
    """Whatever is known, whenever asked."""

    needs_all = False

    def pending(self) -> bool:
        return True


class Guided(Trigger):
    """The newest of all, each time the guide becomes fulfilled."""

    def __init__(self, pvs: Sequence[str], guide: Guide) -> None:
        super().__init__(pvs)
        self._guide, self._triggered = guide, False

    def event(self, pv: str, reading: Any) -> None:
        super().event(pv, reading)
        if pv in self._guide.pvs and self._guide.turns(self.newest):
            self._triggered = True

    def learn(self, pv: str, reading: Any) -> None:
        super().learn(pv, reading)
        if pv in self._guide.pvs:
            self._guide.turns(self.newest)

    def pending(self) -> bool:
        return self._triggered

    def take(self) -> Readings:
        self._triggered = False
        return super().take()
