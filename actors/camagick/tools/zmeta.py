"""The files that say what a Zarr array is: ``zarr.json``, or ``.zarray`` and ``.zattrs``.

At a commit two things change in them: how many frames there are, and the record of what is stored.
They are written by hand, since zarr needs a hundred times as long.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from camagick.tools.record import ATTRIBUTE, Record

if TYPE_CHECKING:
    from camagick.tools.zplace import ZPlace

#: In format 2, how many frames there are once more, beside the record.
LENGTH = "caspy_length"


class Meta:
    """What is said about one array.

    Parameters
    ----------
    array
        The open array.
    place, key
        Where it is.
    """

    def __init__(self, array: Any, place: ZPlace, key: str) -> None:
        from zarr.core.buffer import default_buffer_prototype

        files = array.metadata.to_buffer_dict(default_buffer_prototype())
        self._known = {name: json.loads(file.to_bytes()) for name, file in files.items()}
        self._place, self._key = place, key
        self._template: tuple[str, ...] = ()

    def write(self, length: int, record: Record) -> None:
        """Say how many frames there are, and what has been stored: all or nothing.

        In format 2 these are two files. The record comes first, with the length in it: who finds
        the other one shorter makes it as long, see `missing`.
        """
        rows = record.text() if record.rows() else ""
        if "zarr.json" in self._known:
            self._replace("zarr.json", self._filled(length, rows))
            return
        known: dict[str, Any] = self._known[".zattrs"]
        if rows:
            known = {**known, ATTRIBUTE: json.loads(rows), LENGTH: length}
            self._replace(".zattrs", json.dumps(known, indent=2))
        shape = [length, *self._known[".zarray"]["shape"][1:]]
        self._replace(".zarray", json.dumps({**self._known[".zarray"], "shape": shape}, indent=2))

    def missing(self, length: int) -> int:
        """Return how many frames there are more than `length`, as a killed writer has noted."""
        noted = self._known.get(".zattrs", {}).get(LENGTH, 0)
        return max(0, noted - length) if isinstance(noted, int) else 0

    def _replace(self, name: str, text: str) -> None:
        self._place.replace(f"{self._key}/{name}".lstrip("/"), text.encode())

    def _filled(self, length: int, rows: str) -> str:
        if len(self._template) != 2 + bool(rows):
            self._template = _template(self._known["zarr.json"], recorded=bool(rows))
        values = [str(length), rows, ""] if rows else [str(length), ""]
        return "".join(text + value for text, value in zip(self._template, values, strict=True))


def _template(metadata: dict[str, Any], *, recorded: bool) -> tuple[str, ...]:
    """Return the text of a `zarr.json` in the pieces between the length and the record."""
    known = {key: value for key, value in metadata["attributes"].items() if key != ATTRIBUTE}
    known.update({ATTRIBUTE: "@record@"} if recorded else {})
    shape = ["@length@", *metadata["shape"][1:]]
    text = json.dumps({**metadata, "shape": shape, "attributes": known}, indent=2)
    before, _, rest = text.partition('"@length@"')
    between, _, after = rest.rpartition('"@record@"')
    return (before, between, after) if recorded else (before, rest)
