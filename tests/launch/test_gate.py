"""The gate of a host: a process of its own, and what actors say to it, until they have ended."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import suppress

from camagick_broker.address import broker_address
from camagick_broker.ledger import Ledger
from camagick_broker.port import Port
from caspy.hosts.channel import Channel
from caspy.hosts.gate import serve_gate
from caspy.process import fork
from tests.buses import DEADLINE_S


def test_what_an_actor_said_last_is_handed_on_though_it_has_gone() -> None:
    """Who it was, the kernel does not say any more; its first words have told."""
    up, down, inside, printed, told = (os.pipe() for _ in range(5))
    with tempfile.TemporaryDirectory(prefix="cg") as folder:

        def gate() -> int:
            channel, other = Channel(down[0], up[1]), Channel(inside[0], inside[1])
            return serve_gate(folder, printed[0], channel, other, Ledger(1), [], [], DEADLINE_S)

        def actor() -> int:
            port = Port()
            outlet = port.connect_dealer(broker_address(folder), b"1.1")
            outlet.send([b"first"])
            os.read(told[0], 1)
            outlet.send([b"last"])
            port.close()
            return 0

        pids = [fork(f"caspy: test/{work.__name__}", work) for work in (gate, actor)]
        link = Channel(up[0], down[1])
        deadline = time.monotonic() + DEADLINE_S
        try:
            assert link.expect("up", deadline=deadline)["frame"] == b"first"
            os.kill(pids[0], signal.SIGSTOP)
            os.write(told[1], b"x")
            os.waitpid(pids[1], 0)
            os.kill(pids[0], signal.SIGCONT)
            assert link.expect("up", deadline=deadline)["frame"] == b"last"
            os.kill(pids[0], signal.SIGTERM)
            link.expect("finished", deadline=deadline)
            assert os.waitpid(pids[0], 0)[1] == 0
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for handle in {*up, *down, *inside, *printed, *told}:
                with suppress(OSError):
                    os.close(handle)
