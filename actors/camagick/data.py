"""What one iteration carries: values under tags, and where each value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from camagick_broker.construct import new_tuple
from camagick_broker.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["NEW", "Data", "Mark", "adopt"]


class Data(dict[str, Any]):
    """An ordered mapping from tags to values that remembers where each value came from.

    The context of an iteration is of this type too. To a processor it is a dictionary; what it
    hands on unchanged, it should hand on by `select`, `renamed` or `without`, so that branches
    that left a value alone are seen to have left it alone, and its attributes stay with it.
    """

    __slots__ = ("marks",)

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), marks: Any = None
    ) -> None:
        super().__init__(values)
        self.marks: dict[str, Mark] = marks if marks is not None else {}

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Data:
        """Return `values` as Data: itself where it is Data already, empty for None."""
        if isinstance(values, Data):
            return values
        return cls(values or {})

    @classmethod
    def of_marks(cls, marks: dict[str, Mark]) -> Self:
        """Return the values that `marks` speak of; `marks` belong to it from then on."""
        data = cls.__new__(cls)
        for tag, (_, _, _, value) in marks.items():
            data[tag] = value
        data.marks = marks
        return data

    def copy(self) -> Self:
        """Return a copy that shares the values (never the dictionaries)."""
        return type(self)(self, dict(self.marks))

    def mark(self, tag: str) -> Mark | None:
        """Return the mark of what stands under `tag` now, or None where that is new."""
        mark = self.marks.get(tag)
        return mark if mark is not None and mark.value is self[tag] else None

    def attributes(self, tag: str) -> Mapping[str, Any]:
        """Return what is known about the value of `tag`: units, timestamp, severity, ..."""
        mark = self.mark(tag)
        return mark.attributes if mark is not None else {}

    def describe(self, tag: str, attributes: Mapping[str, Any]) -> None:
        """Say what is known about a value that this processor has just made."""
        self.marks[tag] = Mark(NEW, tag, dict(attributes), self[tag])

    def select(self, keep: Callable[[str], bool] | Iterable[str]) -> Data:
        """Return the tags in `keep` (names, or a test of a name), in the order they stand here."""
        test = keep if callable(keep) else frozenset(keep).__contains__
        return self.renamed({tag: tag for tag in self if test(tag)})

    def without(self, tags: Iterable[str]) -> Data:
        """Return all but `tags`."""
        gone = frozenset(tags)
        return self.select(lambda tag: tag not in gone)

    def renamed(self, names: Mapping[str, str]) -> Data:
        """Return the tags in `names`, in its order, each under its new name."""
        marks = {}
        for old, new in names.items():
            mark = self.marks.get(old)
            if mark is not None:
                marks[new] = mark
        return Data({new: self[old] for old, new in names.items()}, marks)

    def take(self, other: Data, tags: Iterable[str]) -> None:
        """Copy `tags` of `other` to here, with what is known about them."""
        for tag in tags:
            self[tag] = other[tag]
            mark = other.marks.get(tag)
            if mark is not None:
                self.marks[tag] = mark
            else:
                self.marks.pop(tag, None)


#: Maker of a value that its processor has described, but the runtime has not yet taken over.
NEW = -1


def adopt(
    maker: int, made: Mapping[str, Any], given: Data, *, keep_attributes: bool = True
) -> Data:
    """Mark what a processor returned.

    Parameters
    ----------
    maker
        Serial number of the processor.
    made
        What it returned. Tags of a `Data` keep the marks they carry; tags of any other mapping
        count as left alone where they hold the very object that stood in `given`.
    given
        What the processor was given.
    keep_attributes
        Whether a new value inherits what was known about the old one of that tag.

    Returns
    -------
    Data
        The same values, each with a mark.
    """
    known = made.marks if isinstance(made, Data) else given.marks
    marks: dict[str, Mark] = {}
    for tag, value in made.items():
        mark = known.get(tag)
        if mark is None or mark.value is not value:
            old = given.marks.get(tag) if keep_attributes else None
            mark = new_tuple(Mark, (maker, tag, {} if old is None else old.attributes, value))
        elif mark.maker == NEW:
            mark = mark._replace(maker=maker)
        marks[tag] = mark
    return Data.of_marks(marks)
