"""A run as a unit of systemd, on the host of the launcher.

Hosts that it reaches by ssh need their sshd and nothing more: there is no agent that listens.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNIT = """\
# {name}: made by caspy -emit systemd.
{keys_hint}[Unit]
Description=caspy {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={command}
WorkingDirectory={folder}
User={user}
Environment=XDG_RUNTIME_DIR=%t/caspy-{name}
RuntimeDirectory=caspy-{name}
RuntimeDirectoryMode=0700
{credentials}Restart=on-failure
RestartSec=5
# 2: the command line, or the recipe, makes no sense.
RestartPreventExitStatus=2
# The launcher drains and ends the rest by itself.
KillMode=mixed
TimeoutStopSec=90
UMask=0077
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""
_HINT = "# The keys are in /etc/caspy/{name}, mode 0600, and only this unit gets them.\n"
_CREDENTIALS = """\
LoadCredential=id_ed25519:/etc/caspy/{name}/id_ed25519
LoadCredential=known_hosts:/etc/caspy/{name}/known_hosts
Environment="CASPY_SSH=ssh -F none -i %d/id_ed25519 -o IdentitiesOnly=yes -o BatchMode=yes \
-o UserKnownHostsFile=%d/known_hosts -o ServerAliveInterval=15"
"""


def unit(name: str, words: Sequence[str], *, ssh: bool) -> str:
    """Return the unit of a run.

    Parameters
    ----------
    name
        Of its bus.
    words
        The launcher's command line, with files by their full paths.
    ssh
        Whether there are hosts that it reaches by ssh.
    """
    program = shutil.which("caspy")
    start = [program] if program else [sys.executable, "-m", "caspy"]
    return _UNIT.format(
        name=name,
        command=" ".join(_escaped(word) for word in [*start, *words]),
        folder=os.getcwd().replace("%", "%%"),
        user=pwd.getpwuid(os.getuid()).pw_name,
        keys_hint=_HINT.format(name=name) if ssh else "",
        credentials=_CREDENTIALS.format(name=name) if ssh else "",
    )


def _escaped(word: str) -> str:
    """Return a word as a command line of a unit takes it, see systemd.service(5)."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    word = word.replace("\n", "\\n").replace("\t", "\\t")
    plain = word and all(c.isalnum() or c in "-_./:=,@+%$#{}[]^" for c in word)
    return word if plain else f'"{word}"'
