"""What caspy notes in each page of a TIFF file: shape, time, and which iteration it is from."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.record import Stamp

#: Code of the tag, one of those that are free for private use; its value is a text (JSON).
CODE = 65317
#: How many tags there may be of a name before it is somebody else's.
_KEYS = {"shape", "run", "actor", "seq", "page", "timestamp"}


def library() -> Any:
    """Import tifffile; what it says of odd files, who calls it says in other words."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def tag(
    shape: tuple[int, ...], stamp: Stamp | None, page: int | None, timestamp: Any
) -> tuple[int, str, int, str, bool]:
    """Return the note as tifffile takes it in `extratags`.

    Parameters
    ----------
    shape
        Of the frame; a page has two axes, whatever the frame has.
    stamp
        Which iteration it is from; None where nobody will ask.
    page
        Number of the page in a file that grows; None where the frame is the whole file.
    timestamp
        Its time in seconds since 1970, None where nobody knows.
    """
    note: dict[str, Any] = {"shape": list(shape)}
    if stamp is not None:
        note.update(run=stamp.run, actor=stamp.actor, seq=stamp.seq)
    if page is not None:
        note["page"] = page
    if isinstance(timestamp, (int, float)):
        note["timestamp"] = timestamp
    return CODE, "s", 0, json.dumps(note), False


def note_of(page: Any) -> Mapping[str, Any]:
    """Return the note in a page of tifffile; an empty one where there is none."""
    found = page.tags.get(CODE) if hasattr(page, "tags") else None
    try:
        note = json.loads(found.value) if found is not None else {}
    except (TypeError, ValueError):
        return {}
    return note if isinstance(note, dict) and _KEYS.issuperset(note) else {}


def described(text: str) -> dict[str, Any]:
    """Return what a page's description says in JSON; nothing where it is another text."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {k: v for k, v in found.items() if k != "shape"} if isinstance(found, dict) else {}
