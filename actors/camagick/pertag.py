"""What the pipes share that treat every tag by itself."""

from __future__ import annotations

import difflib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from camagick.data import Data
    from camagick.tools.expressions import Expression


class DataError(CamagickError, ValueError):
    """A value came by that the processor cannot treat as it was asked to."""


def describe(value: Any) -> str:
    """Say in a few words what a value is: its shape, or its type and text."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {value.shape}, {value.dtype}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


def as_array(value: Any) -> Any:
    """Return `value` where it has a shape, otherwise the array that it can be made into.

    Raises
    ------
    TypeError
        For text, which has no shape that anybody means.
    """
    if hasattr(value, "shape"):
        return value
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"it is {'nothing' if value is None else 'text'}, not numbers")
    return np.asarray(value)


def prepare(name: str, expressions: Iterable[Expression]) -> None:
    """Load what expressions need.

    Raises
    ------
    MissingExtra
        When it is not installed.
    """
    for expression in expressions:
        try:
            expression.prepare()
        except ImportError:
            raise MissingExtra(name, "asteval", "eval") from None


class PerTag(ProcessorBase):
    """A pipe that makes one new value out of every single value.

    A subclass implements `treatment`, and sets `asked` in its constructor.
    """

    #: What was asked for, in the words of the command line; errors begin with it.
    asked: str = ""

    def treatment(self, context: Data) -> Callable[[Any], Any]:
        """Return the function that makes the new values of one iteration."""
        raise NotImplementedError

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        if not data:
            return {}
        try:
            treat = self.treatment(context)
        except ValueError as error:  # an expression over the context
            raise DataError(f"{self.asked}: {error}") from error
        made = {}
        for tag, value in data.items():
            try:
                made[tag] = treat(value)
            except Exception as error:
                said = str(error).strip().partition("\n")[0] or type(error).__name__
                raise DataError(f"{self.asked}: {tag} ({describe(value)}): {said}") from error
        return made


_NUMBERS = (int, float, complex)
#: From this size on, in bytes, it matters where a result lies.
_LARGE = 4096


def _is_function(name: str) -> bool:
    found = None if name.startswith("_") else getattr(np, name, None)
    return callable(found) and not isinstance(found, (type, ModuleType))


def numpy_function(name: Any) -> Callable[..., Any]:
    """Return the function that numpy itself has under `name`.

    Raises
    ------
    BadOption
        When there is none, with a guess at what was meant.
    """
    if not isinstance(name, str):
        raise BadOption(f"npfun: {name!r} is not the name of a numpy function")
    if "." in name:
        raise BadOption(f"npfun: {name!r}: only functions directly in numpy, without a dot")
    if _is_function(name):
        found: Callable[..., Any] = getattr(np, name)
        return found
    names = [known for known in np.__all__ if _is_function(known)]
    near = difflib.get_close_matches(name.lower(), names, 3)
    what = "is not a function" if hasattr(np, name) else "is not in numpy"
    hint = f": did you mean {' or '.join(near)}?" if near else ""
    raise BadOption(f"npfun: {name!r} {what}{hint}")


class NumpyFunction(PerTag):
    """Base of the pipes that call a function of numpy."""

    def __init__(self, op: str, *args: Any, **kwargs: Any) -> None:
        self.function = numpy_function(op)
        self.op = op
        self.args = args
        self.kwargs = kwargs
        words = [str(arg) for arg in args] + [f"{key}={value}" for key, value in kwargs.items()]
        self.asked = " ".join(dict.fromkeys([self.name, op])) + "".join(f" {w}" for w in words)

    @property
    def label(self) -> str:
        """Name of the function."""
        return self.op

    def treatment(self, context: Data) -> Callable[[Any], Any]:
        function = self.function
        if isinstance(function, np.ufunc) and function.nout == 1 and not self.kwargs:
            return lambda value: self._elementwise(function, value)
        return self._with_arguments if self.args or self.kwargs else self.function

    def _elementwise(self, function: np.ufunc, value: Any) -> Any:
        """Let numpy write large results to where they are sent from."""
        args = self.args
        is_large = type(value) is np.ndarray and value.nbytes >= _LARGE
        if not is_large or not all(isinstance(arg, _NUMBERS) for arg in args):
            return function(value, *args)
        kinds = function.resolve_dtypes((value.dtype, *map(type, args), None))
        return function(value, *args, out=self.empty(value.shape, kinds[-1]))

    def _with_arguments(self, value: Any) -> Any:
        return self.function(value, *self.args, **self.kwargs)
