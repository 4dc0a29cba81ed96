"""What was refused: counted always, logged once per place and kind."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from camagick_broker.admission import describe

if TYPE_CHECKING:
    from camagick_broker.errors import RemoteProtocolError

log = logging.getLogger(__name__)

_MOST_LINES = 100


class Refusals:
    """Refused messages of one process.

    Parameters
    ----------
    name
        Who refuses, for the log.

    Attributes
    ----------
    counts
        How many messages were refused, by the place where they came in.
    """

    def __init__(self, name: str) -> None:
        self.counts: Counter[str] = Counter()
        self._name = name
        self._logged: set[tuple[str, str, str]] = set()

    def note(
        self, place: str, error: RemoteProtocolError, peer: str = "", *, once_for: str = ""
    ) -> None:
        """Count a refused message, and log the first of its kind at that place.

        Parameters
        ----------
        place
            Where it came in.
        error
            What is wrong with it.
        peer
            Address of whoever sent it, see `camagick_broker.admission.pid_of`; '' if not known.
        once_for
            Whoever is to have a line of his own.
        """
        self.counts[place] += 1
        what = (place, error.kind, once_for)
        if what not in self._logged and len(self._logged) < _MOST_LINES:
            self._logged.add(what)
            log.warning(
                'msg="refused a message" reason="%s" from="%s"%s actor=%s',
                str(error).replace('"', "'"), place, f' by="{describe(peer)}"' if peer else "",
                self._name,
            )  # fmt: skip
