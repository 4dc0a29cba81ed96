"""What the broker of a bus knows, for tests that want it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.inquiry import Inquiry

if TYPE_CHECKING:
    from pathlib import Path


def ask(run: bytes, bus_dir: str | Path, timeout_s: float = 2.0) -> dict[str, Any]:
    """Return it; raises TimeoutError when the broker does not answer in time."""
    with Inquiry(run, bus_dir) as inquiry:
        status = inquiry.status(timeout_s)
    if status is None:
        raise TimeoutError(f"no answer from the broker in {bus_dir}")
    return status
