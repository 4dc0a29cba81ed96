"""Recipes as YAML files: every document is one pipe."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from caspy.errors import Problem
from caspy.recipe import DEEPEST, HOST, MOST_WORKERS, NOWHERE, At, Flow, Role, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLES: dict[str, Role] = {"from": "source", "via": "pipe", "to": "sink"}
_KEYS = {role: key for key, role in _ROLES.items()}
_FLOWS = ("chain", "fanout")
_ONE_OF = "chain, fanout, from, via or to"
_NUMBER_STARTS = list("-+.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|[0-9]+e[-+]?[0-9]+|\.inf)$|\.nan$",
    re.IGNORECASE,
)


class _Loader(yaml.SafeLoader):
    """Plain data, without YAML's surprises: 16:48 is text, not 1008; 1e9 is a number."""


class _Dumper(yaml.SafeDumper):
    """Plain data, quoted so that every YAML reader takes text for text."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: a recipe is read by people."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless)


_OURS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, test) for tag, test in pairs if tag not in _OURS]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_OURS[1], _INTEGER, _NUMBER_STARTS)
_Loader.add_implicit_resolver(_OURS[2], _FLOAT, _NUMBER_STARTS)
_Dumper.add_implicit_resolver(_OURS[2], _FLOAT, _NUMBER_STARTS)


def _read_tuple(loader: yaml.SafeLoader, node: Any) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _write_tuple(dumper: yaml.SafeDumper, value: tuple[Any, ...]) -> yaml.SequenceNode:
    return dumper.represent_sequence("!tuple", value, flow_style=True)


def _write_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML loses some line breaks (U+0085) in any other style.
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"'
    )


# numpy tells axis=(0,1) from axis=[0,1]; without a sign of its own a tuple would return as a list.
_Loader.add_constructor("!tuple", _read_tuple)
_Dumper.add_representer(tuple, _write_tuple)
_Dumper.add_representer(str, _write_text)


def load(source: str, at: At = NOWHERE) -> tuple[list[Flow], list[Problem]]:
    """Return the pipes of a file ('-': standard input), and what is wrong with it."""
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        return [], [Problem(f"cannot read {name}: {error.strerror or error}", at)]
    return loads(text, name)


def loads(text: str | bytes, name: str) -> tuple[list[Flow], list[Problem]]:
    """Return the pipes of a text, and what is wrong with it; `name` is for the messages."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [Problem(_syntax(error), At(place=name))]
    reader = _Reader()
    several = len(documents) > 1
    pipes = [
        reader.pipe(document, At(place=f"{name}: document {number}" if several else name))
        for number, document in enumerate(documents, 1)
        if document is not None
    ]
    if not pipes:
        reader.wrong("there is no pipe in it", At(place=name))
    return [pipe for pipe in pipes if pipe is not None], reader.problems


def dumps(pipes: Sequence[Flow]) -> str:
    """Return the YAML text of a recipe; `loads` gives the same recipe again."""
    return yaml.dump_all(
        [_plain(pipe) for pipe in pipes],
        Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False,
    )  # fmt: skip


def _plain(node: Step | Flow) -> dict[str, Any]:
    if isinstance(node, Flow):
        flow: dict[str, Any] = {node.kind: [_plain(child) for child in node.children]}
        return {**flow, "host": node.host} if node.host else flow
    said: dict[str, Any] = {_KEYS[node.role]: [node.name, *node.args]}
    if node.params:
        said["params"] = dict(node.params)
    if node.workers > 1:
        said["workers"] = node.workers
    if node.host:
        said["host"] = node.host
    return dict(sorted(said.items()))  # of the keywords, the order matters: it is that of the tags


def _syntax(error: Exception) -> str:
    """Return a complaint of the YAML library in one line."""
    mark = getattr(error, "problem_mark", None)
    text = " ".join(str(getattr(error, "problem", None) or error).split())
    if mark is None:
        return f"no valid YAML: {text}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {text}"


class _Reader:
    """Turns plain data into a recipe; goes on after a mistake, to find the next one."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, text: str, at: At) -> None:
        """Note a mistake."""
        self.problems.append(Problem(text, at))

    def pipe(self, document: Any, at: At) -> Flow | None:
        """Return one document as a pipe."""
        if isinstance(document, list):
            return self._flow("chain", document, at, at, 0)
        node = self._node(document, at, at, 0)
        return Flow("chain", (node,), at) if isinstance(node, Step) else node

    def _node(self, value: Any, at: At, inside: At, depth: int) -> Step | Flow | None:
        """Return one element; `inside` is how places in it begin."""
        if not isinstance(value, dict):
            self.wrong(f"expected a mapping with {_ONE_OF}, not {_shown(value)}", at)
            return None
        kinds = [key for key in value if key in _ROLES or key in _FLOWS]
        if len(kinds) != 1:
            given = " and ".join(map(str, kinds)) or ", ".join(map(str, value)) or "nothing"
            self.wrong(f"expected exactly one of {_ONE_OF}, not {given}", at)
            return None
        beside = ("params", "workers", "host") if kinds[0] in _ROLES else ("host",)
        allowed = (kinds[0], *beside)
        for key in value:
            if key not in allowed:
                self.wrong(f'"{key}" does not belong beside "{kinds[0]}"', at)
        if kinds[0] in _ROLES:
            step = self._step(_ROLES[kinds[0]], value[kinds[0]], value.get("params"), at)
            step = step and self._shared(step, value.get("workers", 1))
            return step and replace(step, host=self._host(value.get("host", ""), at))
        flow = self._flow(kinds[0], value[kinds[0]], at, inside, depth)
        return flow and replace(flow, host=self._host(value.get("host", ""), at))

    def _flow(self, kind: Any, children: Any, at: At, inside: At, depth: int) -> Flow | None:
        children = [] if children is None else children
        if not isinstance(children, list):
            self.wrong(f"{kind} holds a list of processors, not {_shown(children)}", at)
            return None
        if depth == DEEPEST:
            self.wrong(f"nested deeper than {DEEPEST}", at)
            return None
        # "f.spy" -> "f.spy: chain[0]" -> "f.spy: chain[0].fanout[1]"
        start = f"{inside.place}{'.' if depth else ': '}{kind}"
        places = [At(place=f"{start}[{index}]") for index in range(len(children))]
        found = [
            self._node(child, place, place, depth + 1)
            for child, place in zip(children, places, strict=True)
        ]
        return Flow(kind, tuple(one for one in found if one is not None), at)

    def _step(self, role: Role, said: Any, params: Any, at: At) -> Step | None:
        name, args = (said[0], tuple(said[1:])) if isinstance(said, list) and said else (said, ())
        if not isinstance(name, str) or not name:
            self.wrong(f"expected the name of a {role}, not {_shown(name)}", at)
            return None
        params = {} if params is None else params
        if isinstance(params, list):
            if isinstance(said, list):
                self.wrong("params is a list of arguments only where the name stands alone", at)
            return Step(role, name, (*args, *params), {}, at)
        if not isinstance(params, dict):
            self.wrong(f"params is a mapping of options, not {_shown(params)}", at)
            return None
        odd = [key for key in params if not isinstance(key, str)]
        if odd:
            self.wrong(f"params: {_shown(odd[0])} is no name of an option (put it in quotes)", at)
        return Step(
            role, name, args, {key: value for key, value in params.items() if key not in odd}, at
        )

    def _shared(self, step: Step, workers: Any) -> Step:
        """Return a processor with the number of processes that share its work."""
        if type(workers) is not int or not 1 <= workers <= MOST_WORKERS:
            text = f"workers is a whole number from 1 to {MOST_WORKERS}, not {_shown(workers)}"
            self.wrong(text, step.at)
            return step
        return replace(step, workers=workers)

    def _host(self, host: Any, at: At) -> str:
        """Return where something is to run; '' where that was not said, or is no host."""
        if host == "" or (isinstance(host, str) and HOST.fullmatch(host)):
            return str(host)
        self.wrong(f"host is the name of one, or of several, a|b, not {_shown(host)}", at)
        return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{type(value).__name__} {text[:30]}..."
