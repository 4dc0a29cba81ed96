"""Source ``--from-eval``: values of expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption, CamagickError
from camagick.pertag import prepare
from camagick.processor import ProcessorBase, Role
from camagick.tools.expressions import Expression

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    """Make data of expressions.

    Each tag gets the value of its expression, worked out anew in each iteration. It is written as
    for ``--eval``: arithmetic, numpy's functions by their bare names, and the tags of the context
    (see ``--demote``) by theirs. It never waits: put a ``--pace`` behind it, or let it stand
    behind another source.

    Parameters
    ----------
    **tags : str
        Tags, and the expression of each: ``theta="linspace(0, pi, 180)"``.

    Examples
    --------
    A curve, ten times a second::

        caspy --from-eval y="sin(linspace(0, 6, 100))" --pace Hz=10 --to-plot
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("asteval",)
    extra: ClassVar[str] = "eval"

    def __init__(self, **tags: str) -> None:
        if not tags:
            raise BadOption('--from-eval needs a tag and its expression: --from-eval a="sqrt(2)"')
        self._expressions = {}
        for tag, text in tags.items():
            try:
                self._expressions[tag] = Expression(str(text))
            except ValueError:
                raise BadOption(f"eval: {tag}={text!r} is not an expression") from None

    async def startup(self) -> None:
        """Make what evaluates."""
        prepare(self.name, list(self._expressions.values()))

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        names = dict(context)
        made = {}
        for tag, expression in self._expressions.items():
            try:
                made[tag] = expression(names)
            except ValueError as error:
                raise CamagickError(f"eval: {tag}: {error}") from error
            if made[tag] is None:
                raise CamagickError(f"eval: {tag}: {expression.text!r} has no value")
        return made
