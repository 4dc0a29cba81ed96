"""From options of the command line to what understands a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.tools.arraydecoders import Npy, Raw, checked_dtype, checked_shape
from camagick.tools.columns import Columns, check_names
from camagick.tools.decoders import FORMATS, BadFormat, Decoder, JsonLines, Lines
from camagick.tools.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(NamedTuple):
    """What is said about a stream; see the sources."""

    format: str
    dtype: str
    shape: Any
    sep: str | None
    comment: str
    header: bool
    skip: int


def make_decoder(name: str, tags: Sequence[str], options: Options) -> Decoder:
    """Return what understands a stream.

    Parameters
    ----------
    name
        Of the source, for messages.
    tags
        What was named.
    options
        All else.

    Raises
    ------
    BadFormat
        For options that make no sense.
    """
    form = options.format
    if form not in FORMATS:
        raise BadFormat(f"format={form}: there are {', '.join(FORMATS)}")
    if not is_integer(options.skip, 0):
        raise BadFormat(f"skip={options.skip!r} is no number of lines (raw: of bytes)")
    if options.shape is not None and form != "raw":
        raise BadFormat("shape= is for format=raw")
    names = check_names(tags)
    if form == "text":
        return _columns(name, names, options)
    if form == "json":
        return JsonLines(names, options.skip)
    if len(names) > 1:
        raise BadFormat(f"format={form} has one tag, not {len(names)}")
    tag = next(iter(names), "text" if form == "lines" else "data")
    if form == "lines":
        return Lines(tag, options.skip)
    return Npy(tag) if form == "npy" else _raw(tag, options)


def _columns(name: str, names: Sequence[str], options: Options) -> Columns:
    sep = options.sep
    if sep is not None and (len(sep) != 1 or sep in '\n"'):
        raise BadFormat(f"sep={sep!r} is not one character")
    if not names and not options.header:
        raise BadFormat(
            f"name the columns: --from-{name} x y, or header=1 where the first line"
            " does; format=lines takes lines as they are"
        )
    dtype = None if options.dtype == "str" else checked_dtype(options.dtype)
    return Columns(
        names, sep, dtype, options.comment, header=bool(options.header), skip=options.skip
    )


def _raw(tag: str, options: Options) -> Raw:
    shape = () if options.shape is None else checked_shape(options.shape)
    return Raw(tag, checked_dtype(options.dtype), shape, options.skip)
