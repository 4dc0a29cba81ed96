"""What the PV Access processors check in their options."""

from __future__ import annotations

import re
from typing import Any

from camagick.errors import BadOption
from camagick.tools.pva_forms import Form
from camagick.tools.pva_values import DTYPES

#: Names of types; int, uint and float are of 64 bits, as in Python.
_NAMES = {
    "bool": "?", "byte": "b", "short": "h", "int": "l", "long": "l", "ubyte": "B", "ushort": "H",
    "uint": "L", "ulong": "L", "float": "d", "double": "d", "string": "s", "text": "s",
    **{str(dtype): code for code, dtype in DTYPES.items() if code != "?"},
}  # fmt: skip
_TYPE = re.compile(r"(?P<name>\w+)(?:(?P<array>\[\]|:\d+)|(?P<image>:\d+(?:x\d+)+))?")


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


def parsed(tag: str, text: Any) -> Form:
    """Return the form that a user names: ``double``, ``int[]``, ``off|on``, ``image``, ...

    Lengths and shapes (``double:2048``, ``uint16:64x32``) say array and image; the PV takes any.

    Raises
    ------
    BadOption
        When there is no such type.
    """
    word = str(text).strip()
    if "|" in word and all(word.split("|")):
        return Form("enum", "", tuple(word.split("|")))
    if word == "image":
        return Form("image")
    match = _TYPE.fullmatch(word)
    code = _NAMES.get(match["name"]) if match else None
    if match is None or code is None or (match["image"] and code == "s"):
        raise BadOption(
            f"--to-pva: {tag}={text} is no type; there are {', '.join(list(_NAMES)[:12])}, int8 to "
            "float64, arrays of them (double[]), images (uint16:64x32, image), and off|on"
        )
    return Form("image" if match["image"] else "array" if match["array"] else "scalar", code)
