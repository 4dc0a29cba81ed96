"""The card that a run leaves in the folder of its bus, see `camagick_broker.running`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING

from camagick import __version__
from camagick_broker.running import Card, Member

if TYPE_CHECKING:
    from caspy.plan import Plan


def make_card(plan: Plan) -> Card:
    """Return what a run says about itself; this process is its launcher."""
    return Card(
        bus=plan.bus, run=plan.run, pid=os.getpid(), host=gethostname(), started=time.time(),
        command=_command(), version=__version__, actors=members(plan),
    )  # fmt: skip


def members(plan: Plan) -> tuple[Member, ...]:
    """Return the actors of a plan as cards name them."""
    return tuple(
        Member(actor.number, actor.name, tuple(actor.inputs), number, actor.host)
        for number, pipe in enumerate(plan.pipes)
        for actor in pipe.actors
    )


def _command() -> tuple[str, ...]:
    program = Path(sys.argv[0]).name if sys.argv else ""
    return ("caspy" if program in ("caspy", "__main__.py") else program, *sys.argv[1:])
