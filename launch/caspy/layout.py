"""From a flow to actors: who stands before whom, and how branches come together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camagick.actor.inputs import Branch, Tree
from camagick.actor.share import Share, Shared
from camagick.processor import ProcessorBase
from camagick.step import members
from caspy.errors import PlanError
from caspy.parallel import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class Actor:
    """One process of the plan.

    Attributes
    ----------
    number, name
        Its place in the plan, from 1, and what it is called (``npfun.2``).
    node
        The processor it hosts.
    tree
        How its inputs belong together; None for a head.
    inputs, consumers
        Numbers of the actors before and behind it.
    share
        Which iterations are its own, where several workers share the processor; None: all.
    host
        Where it runs, see `caspy.placement`; '' for the host of the launcher.
    """

    number: int
    name: str
    node: ProcessorBase
    tree: Tree | None
    inputs: tuple[int, ...]
    consumers: list[int] = field(default_factory=list)
    share: Share | None = None
    host: str = ""

    @property
    def joined(self) -> int:
        """How many outputs it brings together; those of workers count as one."""
        return len(set(_outputs(self.tree)))


class Layout:
    """Walks a flow and collects its actors."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.actors: list[Actor] = []

    def add(self, flow: Any, upstream: Tree | None) -> Tree | None:
        """Add a flow behind `upstream`; return what stands behind it."""
        if isinstance(flow, ProcessorBase):
            return self._add_workers(flow, upstream)
        if not hasattr(flow, "merges"):
            for child in flow.children:
                upstream = self.add(child, upstream)
            return upstream
        branches = [self._branch(child, upstream) for child in flow.children]
        trees = tuple(branch for branch in branches if branch is not None)
        if len(trees) < 2:
            return trees[0].tree if trees else None
        return trees

    def _branch(self, child: Any, upstream: Tree | None) -> Branch | None:
        if is_wiring(child):
            return None if upstream is None else Branch(upstream, "", frozenset())
        tree = self.add(child, upstream)
        return None if tree is None else Branch(tree, str(child.label), members(child))

    def _add_workers(self, node: ProcessorBase, upstream: Tree | None) -> int | Shared:
        reason = refusal(node, node.shared_by)
        if reason:
            raise PlanError(reason)
        if node.shared_by == 1:
            return self._add_actor(node, upstream)
        shares = [Share(worker, node.shared_by) for worker in range(node.shared_by)]
        return Shared(tuple(self._add_actor(node, upstream, share) for share in shares))

    def _add_actor(
        self, node: ProcessorBase, upstream: Tree | None, share: Share | None = None
    ) -> int:
        number = self._first + len(self.actors)
        name = f"{re.sub('[^A-Za-z0-9_]', '', node.name) or 'function'}.{number}"
        inputs = tuple(dict.fromkeys(_producers(upstream)))
        self.actors.append(Actor(number, name, node, upstream, inputs, share=share))
        for producer in inputs:
            self.actors[producer - self._first].consumers.append(number)
        return number


def is_wiring(flow: Any) -> bool:
    """Tell whether a branch only passes on: ``[ ]``, or ``--idem`` alone."""
    if isinstance(flow, ProcessorBase):
        return type(flow).__module__ == "camagick.pipe.idem"
    return not hasattr(flow, "merges") and all(is_wiring(child) for child in flow.children)


def _producers(tree: Tree | None) -> Iterable[int]:
    for output in _outputs(tree):
        yield from output.workers if isinstance(output, Shared) else (output,)


def _outputs(tree: Tree | None) -> Iterable[int | Shared]:
    if tree is None:
        return
    if isinstance(tree, (int, Shared)):
        yield tree
        return
    for branch in tree:
        yield from _outputs(branch.tree)
