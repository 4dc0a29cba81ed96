"""A film of pictures: MP4, by ffmpeg."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

#: Pictures of one film, where there may be several: five and a half minutes at ten a second.
PICTURES = 3333
_DPI = 100


class NoFfmpeg(Exception):
    """There is no ffmpeg; the message says what to install."""


def ffmpeg() -> str:
    """Return where ffmpeg is: on the path, or in the package imageio-ffmpeg.

    Raises
    ------
    NoFfmpeg
        Where it is in neither.
    """
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise NoFfmpeg(
            "a film needs ffmpeg, which is not installed: apt install ffmpeg, or "
            "pip install '.[film]'"
        ) from None


class Film:
    """One file of pictures; what was written can be played even if it is never closed.

    Parameters
    ----------
    figure
        The matplotlib figure.
    path
        The file, replaced where it is there.
    rate_hz
        Pictures a second.
    """

    def __init__(self, figure: Any, path: str, rate_hz: float) -> None:
        import matplotlib as mpl
        from matplotlib.animation import FFMpegWriter

        mpl.rcParams["animation.ffmpeg_path"] = ffmpeg()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Fragments: there is no index at the end that a killed run would never write.
        flags = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-g", "10"]
        flags += ["-tune", "zerolatency", "-flush_packets", "1"]
        self._writer = FFMpegWriter(
            fps=rate_hz,  # type: ignore[arg-type] # it is a text in the end
            codec="h264",
            extra_args=["-pix_fmt", "yuv420p", "-loglevel", "error", *flags],
        )
        self._writer.setup(figure, path, dpi=_DPI)
        self.pictures = 0

    def add(self) -> None:
        """Add the figure as it is now."""
        self._writer.grab_frame()
        self.pictures += 1

    def close(self) -> None:
        """Write what is left."""
        self._writer.finish()
