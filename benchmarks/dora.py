"""A dora dataflow of Python nodes, in a network of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import peers
from benchmarks.fifos import fifos
from benchmarks.processes import ROOT, peer_environment, running

if TYPE_CHECKING:
    from benchmarks.measure import Budget, Figure

STAGES = ROOT / "benchmarks/stages"


def frames(size: int, hops: int, work: str, budget: Budget, window: int = 8) -> Figure:
    """Return the frames a second of `size` doubles through a source, nodes, and a last node."""
    programs = peers.folder(peers.DORA)
    with fifos() as (folder, rows):
        flow = folder / "flow.yml"
        ends = f"--rows {folder}/rows --credit {folder}/credit --window {window}"
        flow.write_text(yaml.safe_dump({"nodes": _nodes(str(programs), size, hops, work, ends)}))
        command = peers.alone([str(programs / "dora"), "run", str(flow)])
        env = peer_environment(PYTHONPATH=str(STAGES))
        with running(command, env, at_once=True, cwd=folder, stdout=None) as process:
            rows.writer = process
            return rows.rate(max(budget.seconds, 2.0), 1.0, process.pid)


def _nodes(programs: str, size: int, hops: int, work: str, ends: str) -> list[dict[str, Any]]:
    script = f"{STAGES}/dora_node.py"
    nodes: list[dict[str, Any]] = []
    for number in range(hops + 1):
        role = {0: "source", hops: "sink"}.get(number, "pipe")
        node: dict[str, Any] = {
            "id": f"n{number}",
            "path": f"{programs}/python",
            "args": f"{script} {role} --size {size} --work {work} {ends}",
        }
        if number:
            # Its policy "backpressure" takes another, slower way; credit keeps the queues short.
            source = {"source": f"n{number - 1}/out", "queue_size": 100}
            node["inputs"] = {"in": source}
        if number < hops:
            node["outputs"] = ["out"]
        nodes.append(node)
    return nodes
