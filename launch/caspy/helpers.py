"""The processes of a bus that are no actors: its broker, and services that actors share."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import time
from pathlib import Path

from camagick_broker import running
from camagick_broker.broker import Broker
from caspy.process import HELD, told_to_stop

#: How long the folder of a run that was killed says so, before it is removed.
_MOURN_S = 3.0


def serve_broker(run: bytes, folder: str, names: dict[int, str], watchers: int = 0) -> int:
    """Be the broker of a bus until SIGTERM; return the exit code.

    It gets that signal also when the launcher has been killed, and then nobody but it is left to
    remove the folder of the bus.
    """
    launcher = os.getppid()
    broker = Broker(run, folder, names, watchers)
    stopped = told_to_stop(broker.ring)

    def orphaned() -> bool:
        return os.getppid() != launcher

    broker.serve(stopped, orphaned)
    if orphaned():
        running.mark_killed(Path(folder))
        time.sleep(_MOURN_S)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def serve(name: str, folder: str) -> int:
    """Be a service (`camagick.service.NAME`) of a bus until SIGTERM; return the exit code."""
    module = importlib.import_module(f"camagick.service.{name}")

    async def work() -> None:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        with contextlib.suppress(asyncio.CancelledError):
            await module.serve(folder)

    asyncio.run(work())
    return 0
