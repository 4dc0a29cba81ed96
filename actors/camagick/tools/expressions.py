"""Arithmetic expressions over names, evaluated by asteval (never by Python's own eval)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ABSENT = object()


class Expression:
    """An expression, checked when it is made and parsed only once.

    Parameters
    ----------
    text
        The expression, in Python's syntax.

    Raises
    ------
    ValueError
        When the text is no expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._node = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            said = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(f"{text!r} is no expression: {said}") from None
        self.names = frozenset(n.id for n in ast.walk(self._node) if isinstance(n, ast.Name))
        self._interpreter: Any = None
        self._builtin: dict[str, Any] = {}

    def prepare(self) -> None:
        """Load asteval. Raises ImportError where it is not installed."""
        if self._interpreter is None:
            from asteval import Interpreter

            self._interpreter = Interpreter()
            table = self._interpreter.symtable
            self._builtin = {name: table.get(name, _ABSENT) for name in self.names}

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the expression, with its names taken from `values` first.

        Raises
        ------
        ValueError
            When it has none, with a message of one line.
        """
        self.prepare()
        interpreter = self._interpreter
        for name, builtin in self._builtin.items():
            value = values.get(name, builtin)
            if value is _ABSENT:
                interpreter.symtable.pop(name, None)
            else:
                interpreter.symtable[name] = value
        interpreter.error = []
        interpreter.error_msg = None
        interpreter.expr = self.text  # without it, errors are kept back
        try:
            # Its `eval` would remember the text of every single call for ever.
            return interpreter.run(self._node)
        except Exception as error:
            cause = interpreter.error[0] if interpreter.error else None
            kind = getattr(cause, "exc", None) or type(error)
            said = str(getattr(cause, "msg", "") or error).strip().rpartition("\n")[2]
            raise ValueError(f"{self.text!r}: {kind.__name__}: {said}") from error

    def integer(self, values: Mapping[str, Any]) -> int:
        """Return the value as an integer; an integral float, or an array of one, is taken as one.

        Raises
        ------
        ValueError
            When the value is no integer.
        """
        value = self(values)
        try:
            number = int(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError, OverflowError):
            number = None
        if number is None or number != value or isinstance(value, str):
            raise ValueError(f"{self.text!r} is {value!s}, not an integer")
        return number
