"""What the PV Access processors check in their options."""

from __future__ import annotations

import re
from typing import Any

from camagick.errors import BadOption

_SIZES = {"": 1, "k": 1000, "M": 10**6, "G": 10**9}


def tagged_fields(
    pvs: tuple[str, ...], prefix: str, suffix: str, tags: dict[str, str]
) -> dict[str, tuple[str, str]]:
    """Return name of the PV and path of the field by tag, in the order of the command line.

    Raises
    ------
    BadOption
        When a tag comes twice, or there is no PV.
    """
    found: dict[str, tuple[str, str]] = {}
    for word in pvs:
        pv, path = split(word)
        tag = re.sub(r"[:.#]", "_", word) if ":" in word or path else word
        _enter(found, tag, (f"{prefix}{pv}{suffix}", path), f"; name one of them: other={word}")
    for tag, word in tags.items():
        _enter(found, tag, split(str(word)))
    if not found:
        raise BadOption("--from-pva needs a PV: --from-pva EXAMPLE:image")
    return found


def _enter(
    found: dict[str, tuple[str, str]], tag: str, place: tuple[str, str], advice: str = ""
) -> None:
    if tag in found:
        raise BadOption(f"--from-pva: tag {tag!r} comes twice{advice}")
    found[tag] = place


def split(word: str) -> tuple[str, str]:
    """Return PV and field of ``PV#field.path``; the field is '' for the whole structure.

    Raises
    ------
    BadOption
        When one of them is missing.
    """
    pv, mark, path = str(word).partition("#")
    if not pv or (mark and not all(path.split("."))):
        raise BadOption(f"--from-pva: {word!r} is neither PV nor PV#field.path")
    return pv, path


def queue_limits(queue: Any) -> tuple[int | None, int | None]:
    """Return how many updates, and how many bytes, may wait; None: as many as usual.

    Parameters
    ----------
    queue
        A number of updates, or a size: ``500MB``, ``4GB``.

    Raises
    ------
    BadOption
        When it is neither.
    """
    if queue in ("", None):
        return None, None
    if isinstance(queue, int) and not isinstance(queue, bool) and queue > 0:
        return queue, None
    match = re.fullmatch(r"(\d+)([kMG]?)B", str(queue))
    if match is None or not int(match[1]):
        raise BadOption(f"queue={queue}: a number of updates, or a size like 500MB")
    return None, int(match[1]) * _SIZES[match[2]]
