"""Functions of numpy."""

from __future__ import annotations

from typing import Any

from camagick.pertag import NumpyFunction


class Processor(NumpyFunction):
    """Apply a function of numpy to every tag.

    The value under each tag becomes the first argument of the function, and is replaced by its
    result. Any function that stands directly in numpy will do (``sum``, ``gradient``, ``sqrt``,
    ``clip``, ...), not those of its submodules (``linalg.norm``). One that gives several arrays,
    as ``gradient`` of an image does, leaves a tuple, which few processors can treat.

    Several of them side by side name their results: ``{ --npfun sum --npfun min }`` makes
    ``x_sum`` and ``x_min`` out of ``x``.

    Parameters
    ----------
    op : str
        Name of the function.
    *args : number, text or tuple
        Further arguments, in the order of the function: ``--npfun clip 0 1``.
    **kwargs : number, text or tuple
        Further arguments by name: numbers, True, False, None, tuples such as ``axis=(0,1)``, or
        text.

    Examples
    --------
    Sum over the second axis of an image::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 --npfun sum axis=1 --to-summary
    """

    def __init__(self, op: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(op, *args, **kwargs)
