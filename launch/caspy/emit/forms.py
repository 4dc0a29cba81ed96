"""What `caspy -emit` prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from camagick import __version__
from caspy.emit import compose, kubernetes, systemd
from caspy.emit.topology import aliases, label, topology
from caspy.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.hostsfile import Hosts
    from caspy.plan import Plan

FORMS = ("kubernetes", "compose", "systemd")
#: The container image, where it is not ``caspy:VERSION``.
IMAGE = "CASPY_IMAGE"


def emit(
    form: str, plan: Plan, bus: str | None, hosts: Hosts, engine: str, recipe: str,
    options: Sequence[str], words: Sequence[str],
) -> str:  # fmt: skip
    """Return the manifests of a plan in one of `FORMS`.

    Parameters
    ----------
    form
        Which.
    plan, bus
        What is to run, and under which name; None for one that fits all.
    hosts, engine
        What is known of its hosts, and how agents are started where that does not say.
    recipe
        The pipes as YAML, for containers.
    options
        Options of the launcher that mean the same everywhere.
    words
        The rest of the command line as it would be here, with files by their full paths.

    Raises
    ------
    PlanError
        For what cannot be emitted.
    """
    if form == "systemd":
        if "-" in words:
            raise PlanError("a unit has no standard input to take the recipe from: -yaml FILE")
        name = label(bus or "caspy")
        engines = {hosts.get(alias).engine or engine for alias in aliases(plan)}
        return systemd.unit(name, [*options, "-bus", name, *words], ssh="ssh" in engines)
    image = os.environ.get(IMAGE) or f"caspy:{__version__}"
    made = topology(plan, bus, hosts, engine, image, recipe, options)
    if form == "kubernetes":
        return kubernetes.manifest(made)
    return compose.manifest(made)
