"""Other names."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from camagick.errors import BadOption
from camagick.pertag import DataError
from camagick.processor import ProcessorBase
from camagick.tools.regex import matcher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Data


class Processor(ProcessorBase):
    """Give tags new names.

    Parameters
    ----------
    fmt : str
        The new name. ``{}`` or ``{tag}`` in it stands for the old one, and ``{key}`` for a value
        of the context (see ``--demote``), with a format if needed: ``{scan:03d}``.
    only : str, default ''
        Regular expression: only tags that match it (from their beginning on) get a new name. The
        others follow behind them. Without it, all tags get a new name.

    Examples
    --------
    Name the sum after the image::

        caspy --from-epics EXAMPLE:jedda { [ --npfun sum --rename {}_sum ] [ ] } --to-summary
    """

    def __init__(self, fmt: str, only: str = "") -> None:
        self.fmt = str(fmt)
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.fmt)]
        except ValueError as error:
            raise BadOption(f"rename: {fmt!r} is not a format: {error}") from None
        if fields.count("") > 1 or any(field and field[0] in "123456789" for field in fields):
            raise BadOption(f"rename: {fmt!r}: {{}} is possible once only, {{tag}} more often")
        if not self.fmt:
            raise BadOption("rename: the new name is empty")
        try:
            self._matches = matcher([only]) if only else None
        except ValueError as error:
            raise BadOption(f"rename: {error}") from None

    def process(self, data: Data, context: Data) -> Data:
        matches = self._matches
        known = {**context, "tag": ""}
        names = {tag: self._new(tag, known) for tag in data if matches is None or matches(tag)}
        names.update((tag, tag) for tag in data if tag not in names)
        if len(set(names.values())) < len(names):
            self._refuse(names)
        return data.renamed(names)

    def _new(self, tag: str, known: dict[str, object]) -> str:
        known["tag"] = tag
        try:
            return self.fmt.format(tag, **known)
        except KeyError as error:
            keys = ", ".join(key for key in known if key != "tag") or "nothing"
            raise DataError(
                f"rename {self.fmt}: {error.args[0]} is not in the context (there is: {keys})"
            ) from None
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise DataError(f"rename {self.fmt}: {tag}: {error}") from None

    def _refuse(self, names: Mapping[str, str]) -> None:
        first: dict[str, str] = {}
        for old, new in names.items():
            other = first.setdefault(new, old)
            if other != old:
                raise DataError(
                    f"rename {self.fmt}: {other} and {old} would both be called {new}"
                    " (use {} in the new name, or only=)"
                )
