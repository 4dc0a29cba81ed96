"""A real Slurm over hosts in network namespaces: a controller, three nodes, `srun` and `sbatch`.

    with hosts.network("head", *slurm.NODES) as lab:
        slurm.start(lab, "head")
        lab.run("head", "srun", "-N3", "hostname")

Each node has its own slurmd, addresses, hostname and runtime folder; munge is one of our own. They
end with the hosts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.hosts import Network

NODES = ("n1", "n2", "n3")
DEADLINE_S = 40.0
_SERVERS = ("munged", "slurmctld", "slurmd", "srun")

_CONFIG = """\
ClusterName=caspy
SlurmctldHost={head}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
TaskProlog={folder}/prolog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
InactiveLimit=0
KillWait=2
MessageTimeout=20
"""
# What the variables of a login are on another host; srun would hand on those of where it runs.
_PROLOG = """\
#!/bin/sh
echo "export XDG_RUNTIME_DIR={folder}/$SLURMD_NODENAME/run"
echo "export TMPDIR={folder}/$SLURMD_NODENAME/tmp"
"""


def start(lab: Network, head: str) -> None:
    """Start Slurm: the controller on one host, a node on each of the others that is in `NODES`.

    Skips the test where there is no Slurm.
    """
    for program in _SERVERS:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            pytest.skip(f"there is no {program} (Debian: munge, slurm-wlm)")
    folder = lab.ssh_config.parent / "slurm"
    (folder / "state").mkdir(parents=True)
    nodes = [name for name in lab.hosts if name in NODES]
    config = _write(lab, head, nodes, folder)
    _serve(lab, head, folder, "munged", "--foreground", "--force", "--key-file", folder / "key",
           "--socket", folder / "munge.socket", "--pid-file", folder / "munge.pid",
           "--log-file", folder / "munge.log", "--seed-file", folder / "seed")  # fmt: skip
    _serve(lab, head, folder, "slurmctld", "-D", "-c", "-f", config)
    for name in nodes:
        _serve(lab, name, folder, "slurmd", "-D", "-f", config)
    lab.set_environment(SLURM_CONF=str(config))
    _wait_until_idle(lab, head, folder, len(nodes))


def _write(lab: Network, head: str, nodes: list[str], folder: Path) -> Path:
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "prolog").write_text(_PROLOG.format(folder=folder.parent))
    (folder / "prolog").chmod(0o755)
    text = _CONFIG.format(head=head, address=lab.hosts[head].address, folder=folder)
    for name in nodes:
        text += f"NodeName={name} NodeAddr={lab.hosts[name].address} CPUs=8 RealMemory=1000\n"
    text += "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    config = folder / "slurm.conf"
    config.write_text(text)
    # Nothing here uses it, but it is looked for where `ip netns exec` has left none.
    config.with_name("cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    return config


def _serve(lab: Network, host: str, folder: Path, *words: str | Path) -> None:
    with (folder / f"{words[0]}-{host}.log").open("ab") as log:
        lab.serve(host, *words, stdout=log, stderr=log)


def _wait_until_idle(lab: Network, head: str, folder: Path, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    out = ""
    while out.count("idle") != count:
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            raise AssertionError(f"Slurm does not start: {out}\n{logs}")
        try:
            out = lab.run(head, "sinfo", "--noheader", "-N", "-o", "%N %t", timeout=5.0).stdout
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.1)
