"""Expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption
from camagick.pertag import DataError, describe, prepare
from camagick.processor import ProcessorBase
from camagick.tools.expressions import Expression

if TYPE_CHECKING:
    from camagick.data import Data

#: What the value is called inside the expression.
VALUE = "_value_"


class Processor(ProcessorBase):
    r"""Replace every value by what an expression makes of it.

    The expression is written as in Python, with arithmetic, comparisons, indexing, and the
    functions of numpy by their bare names (``sqrt``, ``sin``, ``mean``, ...). The library
    asteval evaluates it, which knows no import and writes no files. If it fails, so does the run,
    with a message that names the tag.

    Parameters
    ----------
    expression : str
        The expression. ``{}`` in it stands for the value; the tags of the context (see
        ``--demote``) can be used by their names.

    Examples
    --------
    Square root of the intensity, in percent::

        caspy --from-epics EXAMPLE:jedda --eval "100 * sqrt({})" --to-summary

    Normalized to a second value::

        caspy --from-epics EXAMPLE:jedda EXAMPLE:iffy --demote EXAMPLE_iffy \
              --eval "{} / EXAMPLE_iffy" --to-summary
    """

    requires: ClassVar[tuple[str, ...]] = ("asteval",)
    extra: ClassVar[str] = "eval"

    def __init__(self, expression: str) -> None:
        self.text = str(expression)
        try:
            self._expression = Expression(self.text.replace("{}", VALUE))
        except ValueError:
            raise BadOption(f"eval: {self.text!r} is not an expression") from None

    async def startup(self) -> None:
        prepare(self.name, [self._expression])

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        made = {}
        names = dict(context)
        for tag, value in data.items():
            names[VALUE] = value
            try:
                made[tag] = self._expression(names)
            except ValueError as error:
                said = str(error).replace(VALUE, "{}")
                raise DataError(f"eval: {tag} ({describe(value)}): {said}") from error
        return made
