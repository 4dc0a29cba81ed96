"""Short for --npfun sum."""

from __future__ import annotations

from typing import Any

from camagick.pertag import NumpyFunction


class Processor(NumpyFunction):
    """Sum up the numbers of every tag.

    Short for ``--npfun sum``: each value is replaced by the sum over its numbers.

    Parameters
    ----------
    *args : number, text or tuple
        Further arguments of ``numpy.sum``; the first is the axis, an integer or a tuple of them.
        Without one, all axes are meant, and the result is a single number.
    **kwargs : number, text or tuple
        Further arguments by name: ``axis=1``, ``axis=(0,1)``, ``keepdims=True``.

    Examples
    --------
    Total intensity of a region of interest::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 16:48 8:24 --sum --to-summary
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("sum", *args, **kwargs)
