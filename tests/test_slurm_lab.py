"""The test bed of a Slurm is what it says: jobs run on nodes of their own, and end as real ones."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from camagick import __version__
from tests.buses import wait_for
from tests.servers import hosts, slurm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lab() -> Iterator[hosts.Network]:
    with hosts.network("head", *slurm.NODES) as made:
        slurm.start(made, "head")
        yield made


def test_one_task_a_node(lab: hosts.Network) -> None:
    done = lab.run("head", "srun", "-N3", "sh", "-c", "echo $(hostname) $XDG_RUNTIME_DIR $TMPDIR")
    folder = lab.ssh_config.parent
    expected = [f"{name} {folder / name / 'run'} {folder / name / 'tmp'}" for name in slurm.NODES]
    assert sorted(done.stdout.splitlines()) == expected, done.stderr


def test_nodes_have_addresses_of_their_own_and_the_tree_under_test(lab: hosts.Network) -> None:
    ask = "caspy -version; ip -o -4 addr show eth0 | cut -d' ' -f7"
    done = lab.run("head", "srun", "-w", "n2", "sh", "-c", ask)
    assert done.stdout == f"caspy {__version__}\n{lab.hosts['n2'].address}/24\n", done.stderr


def test_a_step_in_an_allocation_reads_what_it_is_told(lab: hosts.Network) -> None:
    """As an engine would speak with an agent: standard input, and its end."""
    inner = "srun -N1 -n1 -w n3 sh -c 'hostname; cat'"
    done = lab.run("head", "salloc", "-Q", "-N3", "sh", "-c", inner, input="keys\n")
    assert done.stdout == "n3\nkeys\n", done.stderr


def test_a_cancelled_job_is_gone(lab: hosts.Network) -> None:
    """With a process that ignores what it is told, too."""
    stubborn = "trap '' TERM; while true; do sleep 0.1; done"
    before = lab.processes("n1")
    process = lab.popen("head", "srun", "-w", "n1", "-J", "stubborn", "sh", "-c", stubborn,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_for(lambda: len(lab.processes("n1")) >= len(before) + 3, "the job")
        assert lab.run("head", "scancel", "-n", "stubborn").returncode == 0
        process.wait(30.0)  # and its exit code says nothing: it may be 0
        wait_for(lambda: lab.processes("n1") == before, "the end of the job")
    finally:
        process.kill()
        process.wait()
