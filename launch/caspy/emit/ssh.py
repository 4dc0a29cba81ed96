"""What launcher and agents need to find one another: hosts file, and configurations of OpenSSH.

An agent is the one command that its sshd lets anybody run; who has the launcher's key can do
nothing else there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from caspy.emit.topology import KEYS, PORT, USER_NAME

if TYPE_CHECKING:
    from caspy.emit.topology import Group, Topology

#: Files of keys that the launcher needs, and those that an agent's sshd needs.
LAUNCHER_KEYS = ("id_ed25519", "known_hosts")
AGENT_KEYS = ("ssh_host_ed25519_key", "authorized_keys")

_SSHD = """\
Port {port}
HostKey {keys}/ssh_host_ed25519_key
AuthorizedKeysFile {keys}/authorized_keys
PidFile none
AuthenticationMethods publickey
PermitRootLogin no
AllowUsers {user}
UsePAM no
StrictModes no
DisableForwarding yes
PermitTTY no
PermitUserRC no
ClientAliveInterval 15
{environment}ForceCommand {command} -agent
"""
_SSH = f"""\
Host *
  IdentityFile {KEYS}/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile {KEYS}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ServerAliveInterval 15
"""


def hosts_toml(topology: Topology) -> str:
    """Return the launcher's hosts file."""
    lines = []
    for group in topology.groups:
        lines.append(f"[hosts.{_quoted(group.host.alias)}]")
        lines.append(f'ssh = "ssh://{USER_NAME}@{group.name}:{PORT}"')
        if group.host.compress is not None:
            lines.append(f"compress = {_quoted(group.host.compress)}")
    return "".join(f"{line}\n" for line in lines)


def ssh_config() -> str:
    """Return the configuration of the launcher's ssh."""
    return _SSH


def sshd_config(group: Group) -> str:
    """Return the configuration of a group's sshd."""
    variables = " ".join(_quoted(f"{key}={value}") for key, value in group.host.environment.items())
    return _SSHD.format(
        port=PORT, keys=KEYS, user=USER_NAME, command=" ".join(group.host.command),
        environment=f"SetEnv {variables}\n" if variables else "",
    )  # fmt: skip


def serve_command(config: str) -> list[str]:
    """Return how a group's sshd is started with that configuration."""
    return ["/usr/sbin/sshd", "-D", "-e", "-f", config]


def wait_command(topology: Topology) -> list[str]:
    """Return a command that ends when every group's sshd answers."""
    names = " ".join(group.name for group in topology.groups)
    look = f'ssh-keyscan -T 5 -p {PORT} "$host" 2>/dev/null | grep -q ssh-ed25519'
    return ["sh", "-c", f"for host in {names}; do until {look}; do sleep 1; done; done"]


def _quoted(text: str) -> str:
    """Return a text in double quotes, as TOML and OpenSSH read it."""
    return json.dumps(text, ensure_ascii=False)
