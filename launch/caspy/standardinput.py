"""Standard input: every child inherits it, and one actor may read it.

The launcher keeps it open, so that an actor that is started again reads on where its predecessor
was killed. Whoever writes into it learns that nobody reads any more when the run has ended.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from caspy.errors import PlanError

if TYPE_CHECKING:
    from caspy.plan import Plan

_STDIN = 0


def check(plan: Plan) -> None:
    """Refuse to wait for an input that cannot come.

    Raises
    ------
    PlanError
        When it is closed, or a terminal, which actors cannot read (they have sessions of their
        own) and which usually means that somebody forgot to pipe something.
    """
    reader = next((actor.name for actor in plan.actors if actor.node.reads_input), None)
    if reader is None:
        return
    if sys.stdin is None:  # it was closed at the start: the descriptor may be another file's by now
        raise PlanError(f"{reader} reads standard input, which is closed")
    if os.isatty(_STDIN):
        raise PlanError(
            f"{reader} reads standard input, which is a terminal: pipe something into it"
            " (program | caspy ..., or caspy ... < FILE), or name a command with cmd="
        )


def leave() -> None:
    """Let go of it, in a child that does not read it: nor may whatever that starts."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, _STDIN, inheritable=True)
    if nowhere != _STDIN:
        os.close(nowhere)
