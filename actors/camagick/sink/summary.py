"""Data in a few words."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

import numpy as np

from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, ProcessorBase, Role

if TYPE_CHECKING:
    from camagick.data import Data

MODES = {
    "": "block",
    "b": "block",
    "block": "block",
    "t": "table",
    "tab": "table",
    "table": "table",
    "json": "json",
}
DEFAULT = "{tag}: {}"


class Processor(ProcessorBase):
    """Print what the data is: numbers as they are, arrays by their shape and type.

    A number, text, or an array of one element is printed in full; of larger arrays, shape and type
    are printed: ``shape=(64, 32) <class 'float'>``. Nothing is handed on to what follows.

    Parameters
    ----------
    mode : {'block', 'table', 'json'}, default 'block'
        'block' prints one line per tag. 'table' prints one line per iteration, with a column per
        tag and a header line with the names when they change; parted by tabulators, or aligned and
        with units where a person looks at a terminal. 'json' prints one object per iteration, with
        all elements of arrays; what is no number (NaN, infinities) is null. Also 'b', 't', 'tab'.
    fmt : str, default '{tag}: {}'
        What a line of a block looks like. ``{}`` is the value, ``{tag}`` its name, ``{key}`` a
        value of the context (see ``--demote``); numbers may be given a format: ``{:.3f}``.
    path : str, default '-'
        File to append to; '-' is the standard output.

    Examples
    --------
    Sums as a table::

        caspy --from-epics EXAMPLE:jedda --npfun sum --to-summary mode=table

    For another program that reads JSON, line by line::

        caspy --from-epics EXAMPLE:jedda --to-summary mode=json | jq .EXAMPLE_jedda[0]
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True

    def __init__(self, mode: str = "block", fmt: str = DEFAULT, path: str = "-") -> None:
        if mode not in MODES:
            raise BadOption(f"summary: mode={mode!r} is none of block, table, json")
        self.mode = MODES[mode]
        self.fmt = str(fmt)
        self.path = str(path)
        self.at_home = self.path == "-"
        try:
            self.fmt.format(_Shown(0), tag="")
        except (ValueError, IndexError) as error:
            raise BadOption(f"summary: fmt={fmt!r} is not a format: {error}") from None
        except (KeyError, AttributeError, TypeError):
            pass  # depends on what will be in the context
        self._columns: list[str] = []
        self._widths: list[int] = []
        self._stream: TextIO | None = None

    async def startup(self) -> None:
        self._stream = self._open()

    async def shutdown(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and self._owns_stream:
            stream.close()

    def process(self, data: Data, context: Data) -> None:
        if not data:
            return
        if self.mode == "table":
            text = self._table(data)
        elif self.mode == "json":
            text = json.dumps({tag: plain(value) for tag, value in data.items()}) + "\n"
        elif self.fmt == DEFAULT:
            text = "".join([f"{tag}: {shown(value)}\n" for tag, value in data.items()])
        else:
            text = self._formatted(data, context)
        self._write(text)

    def _table(self, data: Data) -> str:
        aligned = self._stream is not None and self._stream.isatty()
        header = ""
        if data.keys() != set(self._columns):
            self._columns = list(data)
            titles = [_title(data, tag) for tag in self._columns] if aligned else self._columns
            self._widths = [len(title) for title in titles]
            header = "# " + self._row(titles, aligned=aligned)
        cells = [shown(data[tag]) for tag in self._columns]
        return header + ("  " if aligned else "") + self._row(cells, aligned=aligned)

    def _row(self, cells: list[str], *, aligned: bool) -> str:
        if not aligned:
            return "\t".join(cells) + "\n"
        self._widths = [max(pair) for pair in zip(self._widths, map(len, cells), strict=True)]
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, self._widths, strict=True)]
        return "  ".join(padded) + "\n"

    def _formatted(self, data: Data, context: Data) -> str:
        known: dict[str, Any] = dict(context)
        lines = []
        for tag, value in data.items():
            known["tag"] = tag
            try:
                lines.append(self.fmt.format(_Shown(value), **known) + "\n")
            except KeyError as error:
                raise CamagickError(
                    f"summary: fmt={self.fmt}: {error.args[0]} is not in the context"
                ) from None
            except (ValueError, TypeError, AttributeError, IndexError) as error:
                raise CamagickError(f"summary: fmt={self.fmt}: {tag}: {error}") from None
        return "".join(lines)

    @property
    def _owns_stream(self) -> bool:
        return self.path not in {"", "-"}

    def _open(self) -> TextIO:
        if not self._owns_stream:
            return sys.stdout
        return Path(self.path).expanduser().open("a", encoding="utf-8")

    def _write(self, text: str) -> None:
        stream = self._stream
        if stream is None:  # used without startup
            stream = self._stream = self._open()
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            _forget_output(stream)
            raise EndOfData from None


class _Shown:
    """A value in a format: `{}` is its summary, a format such as `{:.3f}` is that of the value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __format__(self, spec: str) -> str:
        value = self.value
        if not spec:
            return shown(value)
        # An array of one element is a number to whoever writes {:.3f}.
        return format(value.item() if getattr(value, "size", 0) == 1 else value, spec)

    def __str__(self) -> str:
        return shown(self.value)


def _title(data: Data, tag: str) -> str:
    units = data.attributes(tag).get("units")
    return f"{tag} [{units}]" if units else tag


def plain(value: Any) -> Any:
    """Return a value as JSON has it: lists for arrays, null for what is no number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    array = np.asarray(value)
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    if array.dtype.kind not in "biufU":
        return str(value) if array.ndim == 0 else array.astype(str).tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        numbers = array.astype(object)
        numbers[~np.isfinite(array)] = None
        return numbers.tolist()
    return array.tolist()


def shown(value: Any) -> str:
    """Return what is printed of a value."""
    if type(value) is np.float64:
        return float.__repr__(value)  # the very text of str(value), in a fraction of the time
    shape = getattr(value, "shape", None)
    if shape is None or shape == ():
        return str(value)
    if len(shape) == 1 and shape[0] <= 1:
        return _shown_short(value)
    kind = value.dtype
    if kind.hasobject and value.size:
        return f"shape={tuple(shape)} {type(value.flat[0])}"
    return f"shape={tuple(shape)} {_python_type(kind)}"


def _shown_short(array: Any) -> str:
    """Return the very text of str(array), for what has at most one element."""
    if array.size and array.dtype == np.float64:
        number = array[0]
        if number == 0 or 1e-4 <= abs(number) < 1e8:  # what numpy prints without an exponent
            return f"[{np.format_float_positional(number, precision=8, trim='.')}]"
    return str(array)


@functools.lru_cache(maxsize=64)
def _python_type(dtype: np.dtype[Any]) -> type:
    """Return the Python type of elements, also where there are none."""
    return type(np.zeros(1, dtype)[0].item())


def _forget_output(stream: TextIO) -> None:
    """Let what is left in a stream go nowhere, so that nobody fails on it at the end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
