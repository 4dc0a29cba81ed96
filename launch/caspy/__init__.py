"""From words to processes: the command line, the recipe, the plan and its supervisor.

>>> await caspy.run(ChainFlow(...))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caspy.api import run
    from caspy.parallel import workers

__all__ = ["run", "workers"]


def __getattr__(name: str) -> Any:
    """Import what a script needs only when it asks for it: ``caspy -h`` must stay light."""
    if name == "run":
        from caspy.api import run

        return run
    if name == "workers":
        from caspy.parallel import workers

        return workers
    raise AttributeError(f"module 'caspy' has no attribute {name!r}")
