"""The token that lets a page end a run: ``-web-control FILE``."""

from __future__ import annotations

import hmac
from pathlib import Path

from caspy.errors import PlanError

_LEAST = 16


class Token:
    """A secret that whoever asks has to know.

    Parameters
    ----------
    file
        Holds it, as its only line; readable by its owner alone.

    Raises
    ------
    PlanError
        When the file cannot be read, others can read it, or it is too short to be a secret.
    """

    def __init__(self, file: str) -> None:
        path = Path(file)
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PlanError(f"cannot read the token in {file}: {reason}") from None
        if mode & 0o077:
            raise PlanError(f"others can read the token in {file}: chmod 600 {file}")
        if len(text) < _LEAST or "\n" in text:
            raise PlanError(
                f"{file} has to hold one line of {_LEAST} letters or more: "
                f"(umask 077; openssl rand -hex 16 > {file})"
            )
        self._text = text

    def fits(self, header: str) -> bool:
        """Tell whether the value of an HTTP header `Authorization` has it: ``Bearer TOKEN``."""
        return hmac.compare_digest(header.encode(), f"Bearer {self._text}".encode())
