"""TIFF files of one image each."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.tiffnote import library, note_of, tag

if TYPE_CHECKING:
    from camagick.tools.record import Stamp


def write(
    path: str,
    frame: np.ndarray[Any, Any],
    stamp: Stamp | None,
    known: dict[str, Any],
    *,
    replace: bool,
    packed: str | None,
) -> None:
    """Write an image into a file of its own, in one step.

    Parameters
    ----------
    path
        Its name; the folders above it are made where they do not exist.
    frame
        The image.
    stamp
        Which iteration it is from; None where nobody will ask.
    known
        What is known about it.
    replace
        Whether it may take the place of a file that is there.
    packed
        Compression, as tifffile takes it.

    Raises
    ------
    FileExistsError
        Where there is one that may not be replaced, and it is not of this very iteration.
    OSError, ValueError
        When it cannot be written.
    """
    if not replace and os.path.exists(path) and not _is_mine(path, stamp):
        raise FileExistsError(
            "it is there already: start=N counts from N on, mode=o replaces files"
        )
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    partial_path = os.path.join(folder, f".{name}.partial")
    colour = frame.ndim == 3 and frame.shape[2] in (3, 4) and frame.dtype in (np.uint8, np.uint16)
    plain = {k: v for k, v in known.items() if isinstance(v, (str, bool, int, float, list, tuple))}
    try:
        library().imwrite(
            partial_path,
            frame if frame.ndim > 1 else frame.reshape(1, -1),
            photometric="rgb" if colour else "minisblack",
            compression=packed,
            metadata={key: value for key, value in plain.items() if key != "timestamp"},
            extratags=[tag(frame.shape, stamp, None, known.get("timestamp"))],
            software="caspy",
        )
        os.replace(partial_path, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial_path)
        raise


def _is_mine(path: str, stamp: Stamp | None) -> bool:
    """Tell whether a file was written for this very iteration, in an earlier life."""
    if stamp is None:
        return False
    try:
        with library().TiffFile(path) as tiff:
            note = note_of(tiff.pages[0])
    except (OSError, ValueError):  # which is what tifffile raises for what is no TIFF file
        return False
    return (note.get("run"), note.get("actor"), note.get("seq")) == stamp
