"""Files that belong together by their names: ``img-{seq:05d}.tif``, ``{tag}-{seq}.tif``."""

from __future__ import annotations

import glob
import os
import re
import string
from typing import Any

from camagick.tools.arrayfile import Missing

#: What an image is called where nothing else names it.
IMAGE = "image"
#: Fields that stand for what differs among the files of a series.
FIELDS = frozenset({"seq", "tag", "label"})


def is_pattern(path: str) -> bool:
    """Tell whether a name means many files."""
    return not os.path.exists(path) and any(mark in path for mark in "{*?")


def matching(path: str) -> dict[str, list[str]]:
    """Return, for each tag, the files that a pattern means, in order.

    Raises
    ------
    Missing
        Where there are none.
    """
    wild, regex = "", ""
    for literal, field, _, _ in string.Formatter().parse(path):
        parts = re.split(r"([*?])", literal)
        wild += "".join(part if part in "*?" else glob.escape(part) for part in parts)
        regex += "".join({"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)
        if field is not None:
            wild += "*"
            known = f"(?P<{field}>" in regex
            kind = r"-?\d+" if field == "seq" else "[^/]+?"
            regex += f"(?P={field})" if known else f"(?P<{field}>{kind})"
    found: dict[str, list[tuple[Any, str]]] = {}
    for name in glob.glob(wild):
        match = re.fullmatch(regex, name)
        if match is not None:
            parts_of = match.groupdict()
            tag = parts_of.get("tag") or parts_of.get("label") or IMAGE
            order = int(parts_of["seq"]) if "seq" in parts_of else 0
            found.setdefault(tag, []).append(((order, _natural(name)), name))
    if not found:
        raise Missing(f"{path}: there are no such files")
    return {tag: [name for _, name in sorted(found[tag])] for tag in sorted(found)}


def _natural(name: str) -> list[tuple[int, Any]]:
    """Return what sorts 9 before 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]
