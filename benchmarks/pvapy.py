"""A chain of pvapy's HPC consumers behind a PVA channel, in a network of its own."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.fifos import fifos
from benchmarks.processes import ROOT, peer_environment, running

if TYPE_CHECKING:
    from benchmarks.measure import Budget, Figure

STAGES = ROOT / "benchmarks/stages"


def frames(side: int, hops: int, work: str, budget: Budget) -> Figure:
    """Return the frames a second of side x side doubles through a server and consumers."""
    programs = peers.folder(peers.PVAPY)
    with fifos() as (folder, rows):
        source = [programs / "python", STAGES / "pva_source.py", "c0", side, folder / "credit"]
        commands = [[str(word) for word in source]]
        ends = json.dumps({name: str(folder / name) for name in ("rows", "credit")})
        for number in range(1, hops + 1):
            # Nobody has more than the frames under way in its queue: nothing is overwritten.
            words = f"--input-channel c{number - 1} --server-queue-size 16 --receiver-queue-size 16"
            words += f" --consumer-id {number} --processor-file {STAGES}/pva_stage.py"
            if number < hops:
                words += f" --output-channel c{number} --processor-class {work.capitalize()}"
            else:
                words += f" --processor-class Last --processor-args {shlex.quote(ends)}"
            program = [str(programs / "python"), str(programs / "pvapy-hpc-consumer")]
            commands.append([*program, *shlex.split(words)])
        together = " & ".join(shlex.join(command) for command in commands) + " & wait"
        env = peer_environment(PYTHONPATH=str(STAGES))
        with running(peers.alone(["sh", "-c", together]), env, at_once=True) as process:
            rows.writer = process
            return rows.rate(max(budget.seconds, 2.0), 1.0, process.pid)
