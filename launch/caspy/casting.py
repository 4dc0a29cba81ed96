"""What a word of the command line means as a value: number, truth, tuple, dictionary or text."""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import Any, Literal, Union

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONSTANTS: dict[str, Any] = {
    "True": True, "true": True, "False": False, "false": False, "None": None,
}  # fmt: skip
_PAIR = re.compile(r"([^\W\d]\w*)=(?!=)(.*)", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TEXTS = ("str", "str | None", "None | str", "Optional[str]")


class _NoLiteral(Exception):
    """The text is no literal."""


def guess(text: str) -> Any:
    """Return what a text means where any type is welcome.

    ``5``, ``1e3``, ``True``, ``None`` are what they look like; ``64,32`` and ``(0,1)`` a tuple,
    ``[5,6]`` a list, where each part is a literal; ``a=1,b=x`` a dictionary; text in double quotes
    is that text; all else is text as it stands.
    """
    try:
        return _literal(text)
    except (_NoLiteral, RecursionError):
        pass
    pairs = _pairs(text)
    return pairs if pairs is not None else unquoted(text)


def unquoted(text: str) -> str:
    """Return the text without double quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def cast(text: str, parameter: inspect.Parameter | None) -> Any:
    """Return what a text means as the value of a parameter (None: of one unknown)."""
    if parameter is not None and is_text(parameter.annotation):
        return unquoted(str(text))
    return guess(str(text))


def is_text(annotation: Any) -> bool:
    """Tell whether an annotation asks for text and nothing else: ``str``, ``str | None``."""
    if isinstance(annotation, str):
        return annotation in _TEXTS
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return all(isinstance(choice, str) for choice in typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        options = [one for one in typing.get_args(annotation) if one is not type(None)]
        return all(is_text(one) for one in options)
    return isinstance(annotation, type) and issubclass(annotation, str)


def parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class's constructor, annotations resolved where possible."""
    made: Any = cls.__init__  # type: ignore[misc]
    if made is object.__init__:
        return {}  # `ProcessorBase.__new__` takes anything, but nobody uses it
    found = inspect.signature(made).parameters
    scope = getattr(inspect.unwrap(made), "__globals__", {})
    return {
        name: parameter.replace(annotation=_resolved(parameter.annotation, scope))
        for name, parameter in list(found.items())[1:]
    }


def target(known: Mapping[str, inspect.Parameter], key: int | str) -> inspect.Parameter | None:
    """Return the parameter that a position or a keyword goes to, None where there is none."""
    kinds = inspect.Parameter
    if isinstance(key, str):
        named = known.get(key)
        if named is not None and named.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY):
            return named
        return next((one for one in known.values() if one.kind is kinds.VAR_KEYWORD), None)
    places = positional(known)
    if key < len(places):
        return places[key]
    return next((one for one in known.values() if one.kind is kinds.VAR_POSITIONAL), None)


def positional(known: Mapping[str, inspect.Parameter]) -> list[inspect.Parameter]:
    """Return the parameters that can be given without their name, without ``*args``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one for one in known.values() if one.kind in kinds]


def _resolved(annotation: Any, scope: dict[str, Any]) -> Any:
    """Return what an annotation that is text stands for; the text where that is not known here."""
    if not isinstance(annotation, str):
        return annotation
    holder: Any = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, globalns=scope)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return annotation  # a name that only type checkers import


def _literal(text: str) -> Any:
    """Return the literal that a text is."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    makers: tuple[Callable[[str], Any], ...] = (int, float)
    for make in makers:
        try:
            return make(text)
        except ValueError:
            continue
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return text[1:-1]
    parts = _commas(text)
    if len(parts) > 1:
        return tuple(_items(parts))
    if text[:1] in ("(", "[") and text[-1] == _CLOSING[text[0]]:
        parts = _commas(text[1:-1])
        if text[0] == "[":
            return _items(parts)
        # As in Python: (5) is 5, (5,) is a tuple.
        return _literal(parts[0]) if len(parts) == 1 and parts[0].strip() else tuple(_items(parts))
    raise _NoLiteral


def _items(parts: list[str]) -> list[Any]:
    """Return the literals that comma parts are; an empty last part is a trailing comma."""
    if not parts[-1].strip():
        parts = parts[:-1]
    return [_literal(part.strip()) for part in parts]


def _pairs(text: str) -> dict[str, Any] | None:
    """Return the dictionary that ``a=1,b=2`` is, None where any part is not ``name=value``."""
    parts = _commas(text)
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    matches = [_PAIR.fullmatch(part.strip()) for part in parts]
    if not all(matches):
        return None
    return {match[1]: _scalar(match[2]) for match in matches if match}


def _scalar(text: str) -> Any:
    """Return what a text inside a dictionary means: a literal, or text."""
    try:
        return _literal(text)
    except (_NoLiteral, RecursionError):
        return unquoted(text)


def _commas(text: str) -> list[str]:
    """Split a text at the commas that stand outside brackets and double quotes."""
    parts, start, open_brackets, quoted = [], 0, 0, False
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "([{":
            open_brackets += 1
        elif char in ")]}":
            open_brackets -= 1
        elif char == "," and open_brackets == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts
