"""How an agent is started on a host: by the system's own ssh, by srun, or right here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from caspy.errors import PlanError

if TYPE_CHECKING:
    from caspy.hostsfile import Host

#: The program that is used as ssh, with its options, as for git's GIT_SSH_COMMAND.
SSH = "CASPY_SSH"
_CONNECT_S = 15


def command(host: Host, engine: str) -> list[str]:
    """Return the command that starts the agent of a host.

    Parameters
    ----------
    host
        Which.
    engine
        'ssh', 'slurm' or 'local', where the host's own entry does not say.
    """
    return {"ssh": _ssh, "slurm": _slurm, "local": _local}[host.engine or engine](host)


def start(host: Host, engine: str) -> subprocess.Popen[bytes]:
    """Start the agent of a host; its input and output are the channel.

    Raises
    ------
    PlanError
        Where the program for that is missing.
    """
    words = command(host, engine)
    try:
        return subprocess.Popen(  # noqa: S603 - it is what the user's hosts file says
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
    except OSError as error:
        raise PlanError(
            f"@{host.alias}: cannot start {words[0]}: {error.strerror or error}"
        ) from None


def _agent(host: Host, caspy: tuple[str, ...]) -> list[str]:
    variables = [f"{name}={value}" for name, value in host.environment.items()]
    return [*(("env", *variables) if variables else ()), *caspy, "-agent"]


def _local(host: Host) -> list[str]:
    given = host.command != ("caspy",)
    return _agent(host, host.command if given else (sys.executable, "-m", "caspy"))


def _ssh(host: Host) -> list[str]:
    program = shlex.split(os.environ.get(SSH, "ssh"))
    # One word: what stands behind the destination is joined, and read by a shell there.
    remote = shlex.join(["exec", *_agent(host, host.command)])
    return [*program, "-T", "-o", f"ConnectTimeout={_CONNECT_S}", "--", host.destination, remote]


def _slurm(host: Host) -> list[str]:
    node = ("--nodelist", host.destination)
    where = ("--nodes=1", "--ntasks=1", "--unbuffered", "--overlap", "--export=ALL")
    return ["srun", *where, *node, *_agent(host, host.command)]
