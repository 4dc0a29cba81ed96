"""From a recipe to flow objects, with everything that is wrong at once."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from caspy import casting, catalogue, parallel
from caspy.errors import CatalogueError, Problem
from caspy.recipe import At, Flow, Raw, Step, steps

Parameters = Mapping[str, inspect.Parameter]


class Built(NamedTuple):
    """A recipe, understood.

    Attributes
    ----------
    pipes
        The recipe with every argument cast to what it means.
    flows
        A flow object for each pipe that has no problem; of use only where there is none at all.
    problems
        What is wrong.
    """

    pipes: list[Flow]
    flows: list[Any]
    problems: list[Problem]


def build(pipes: Sequence[Flow], *, construct: bool = True, fragment: bool = False) -> Built:
    """Cast the arguments of a recipe, check them, and make its flow objects.

    Parameters
    ----------
    pipes
        The recipe.
    construct
        False where only the recipe is wanted: no object is made, and no extra need be installed.
    fragment
        True for a part of a pipe, which need not begin with a source, to run on this host.
    """
    builder = _Builder(construct, at_hand=fragment)
    done, flows = [], []
    for pipe in pipes:
        if not fragment and not any(step.role == "source" for step in steps(pipe)):
            text = "nothing to process: a pipe begins with a source (--from-...)"
            builder.problems.append(Problem(text, pipe.at))
        recipe, made = builder.node(pipe)
        done.append(recipe)
        flows.append(made)
    return Built(done, [flow for flow in flows if flow is not None], builder.problems)


class _Builder:
    """Walks a recipe; `problems` grows on the way."""

    def __init__(self, construct: bool, *, at_hand: bool = False) -> None:
        self.problems: list[Problem] = []
        self._at_hand = at_hand  # whatever is said of hosts, it is this one
        self._construct = construct
        self._host = ""  # of the flows around what is being built

    def node(self, node: Any) -> tuple[Any, Any]:
        """Return a node with its arguments cast, and its object (None where there is none)."""
        return self._step(node) if isinstance(node, Step) else self._flow(node)

    def _flow(self, flow: Flow) -> tuple[Flow, Any]:
        outside, self._host = self._host, flow.host or self._host
        pairs = [self.node(child) for child in flow.children]
        self._host = outside
        recipe = replace(flow, children=tuple(child for child, _ in pairs))
        if flow.kind == "fanout" and not pairs:
            text = "an empty fanout { } would throw all data away: [ ] passes it on"
            self.problems.append(Problem(text, flow.at))
            return recipe, None
        objects = [made for _, made in pairs]
        if not self._construct or any(made is None for made in objects):
            return recipe, None
        from camagick.flow import chain, fanout

        return recipe, {"chain": chain, "fanout": fanout}[flow.kind].Processor(*objects)

    def _step(self, step: Step) -> tuple[Step, Any]:
        try:
            cls = catalogue.load(step.role, step.name)
        except CatalogueError as error:
            self.problems.append(Problem(str(error), step.at, error.__cause__))
            return step, None
        try:
            known = casting.parameters(cls)
        except (TypeError, ValueError):  # a constructor written in C
            known = {}
        step = _cast(step, known)
        found = _wrong_arguments(step, known)
        if self._construct:
            elsewhere = (step.host or self._host) and not self._at_hand
            found += [] if elsewhere else _missing_libraries(step, cls)
        if step.workers > 1 and (reason := parallel.why_not(cls, step.role, step.name)):
            place = step.places.get("@workers", step.at)
            found.append(Problem(f"@workers={step.workers}: {reason}", place))
        self.problems += found
        if found or not self._construct:
            return step, None
        return step, self._instance(step, cls)

    def _instance(self, step: Step, cls: type[Any]) -> Any:
        """Make the processor, or note why that does not work."""
        from camagick.errors import CamagickError

        try:
            made = cls(*step.args, **step.params)
        except Exception as error:  # noqa: BLE001 - a user's class may raise anything
            text = " ".join(str(error).split()) or "no reason given"
            known = isinstance(error, CamagickError)
            text = text if known else f"{type(error).__name__}: {text}"
            text = text if text.startswith(step.name) else f"{_title(step)}: {text}"
            self.problems.append(Problem(text, step.at, error))
            return None
        if catalogue.is_external(step.name):
            made.role = step.role  # the flag says what it is used as
        made.shared_by = step.workers
        made.host, made.recipe = step.host or self._host, step
        return made


def _title(step: Step) -> str:
    return f"{step.role} {step.name}"


def _cast(step: Step, known: Parameters) -> Step:
    """Return the step with each word of the command line turned into what it means."""
    args = tuple(_value(value, known, place) for place, value in enumerate(step.args))
    params = {key: _value(value, known, key) for key, value in step.params.items()}
    return replace(step, args=args, params=params)


def _value(value: Any, known: Parameters, key: int | str) -> Any:
    if not isinstance(value, Raw):
        return value  # from a file, where types are written down
    return casting.cast(value, casting.target(known, key))


def _missing_libraries(step: Step, cls: type[Any]) -> list[Problem]:
    info = catalogue.Info("", tuple(cls.requires), cls.extra)
    missing = info.missing()
    if not missing:
        return []
    return [Problem(catalogue.needs(step.role, step.name, missing, info.extra), step.at)]


def _wrong_arguments(step: Step, known: Parameters) -> list[Problem]:
    """Compare the arguments with the constructor's signature, in plain words."""
    problems = [
        Problem(_surplus(step, known), _place(step, place))
        for place in range(len(step.args))
        if casting.target(known, place) is None
    ][:1]
    problems += [
        Problem(_unknown(step, key, known), _place(step, key))
        for key in step.params
        if casting.target(known, key) is None
    ]
    taken = [one.name for one in casting.positional(known)[: len(step.args)]]
    problems += [
        Problem(
            f'{_title(step)}: "{key}" is given twice, by its place and by name', _place(step, key)
        )
        for key in taken
        if key in step.params and casting.target(known, key) is known[key]
    ]
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [
        one.name
        for one in known.values()
        if one.default is one.empty and one.kind not in variable
        and one.name not in taken and one.name not in step.params
    ]  # fmt: skip
    if missing:
        names = " and ".join(f'"{name}"' for name in missing)
        text = f"{_title(step)}: argument {names} is missing (caspy {step.flag} ? explains)"
        problems.append(Problem(text, step.at))
    return problems


def _place(step: Step, key: int | str) -> At:
    return step.places.get(key, step.at)


def _surplus(step: Step, known: Parameters) -> str:
    count = len(casting.positional(known))
    value = step.args[count]
    if not known:
        return f'{_title(step)} takes no arguments, "{value}" is one'
    options = ", ".join(f"{one.name}=" for one in known.values() if one.kind is one.KEYWORD_ONLY)
    most = "no argument" if count == 0 else f"at most {count} argument{'s' if count > 1 else ''}"
    hint = f" (its options: {options})" if options else ""
    return f'{_title(step)} takes {most} without a name, "{value}" is one too many{hint}'


def _unknown(step: Step, key: str, known: Parameters) -> str:
    names = [
        name for name, one in known.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ]  # fmt: skip
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        hint = f'did you mean "{near[0]}"?'
    elif names:
        hint = "there is " + ", ".join(f"{name}=" for name in names)
    else:
        hint = "it has none"
    return f'{_title(step)} has no option "{key}" ({hint})'
