"""What a command line asks for, once its options are known: help, a look at a bus, a run.

What costs time to import is imported where it is used: ``caspy -h`` answers at once.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caspy.errors import PlanError, Problem
from caspy.recipe import NOWHERE, At

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caspy.build import Built
    from caspy.hosts.places import Places
    from caspy.plan import Plan
    from caspy.recipe import Flow
    from caspy.watchers import Watcher
    from caspy.words import Sorted

#: Options that mean the same wherever the launcher is started by what -emit prints.
_PASSED_ON = (
    "window", "count", "restart", "hang", "on-error", "engine", "ports", "patience", "compress",
    "insecure", "stats", "metrics", "web",
)  # fmt: skip


class Wrong(Exception):
    """The command line makes no sense.

    Parameters
    ----------
    problems
        What is wrong, and where: all of it.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems


@contextlib.contextmanager
def _blaming(*errors: type[Exception], at: At = NOWHERE) -> Iterator[None]:
    """Take such errors for what is wrong with a word of the command line."""
    try:
        yield
    except errors as error:
        raise Wrong([Problem(str(error), at)]) from error


class Session:
    """One call of the program, after the options are known.

    Parameters
    ----------
    line
        The words that are no options, where options stand, and what is wrong so far.
    options
        What click made of the options, by its names for them.
    """

    def __init__(self, line: Sorted, options: dict[str, Any]) -> None:
        self._words = line.words
        self._problems = line.problems
        self._at = {given.name: given.value_at for given in line.options}
        self._said = {given.name: given.value or "" for given in line.options}
        self._options = options

    def run(self) -> int:
        """Do what is asked for, and return the exit code.

        Raises
        ------
        Wrong
            Where the command line makes no sense.
        """
        if not self._problems and (code := self._answer()) is not None:
            return code
        if self._options["web_control"] is not None and self._options["web"] is None:
            text = "-web-control is about a page: -web says which"
            self._problems.append(Problem(text, self._at["web-control"]))
        for name in ("ls", "top", "stop", "web"):
            if self._options[name] is not None and not (name == "web" and self._has_pipe):
                return self._visit(name, self._options[name])
        pipes = self._recipe()
        if pipes is None:
            return 0
        return self._execute(self._build(pipes))

    def _answer(self) -> int | None:
        """Do what needs no pipe and no bus; return the exit code, None where that is not asked."""
        options = self._options
        if options["agent"]:
            from caspy import log
            from caspy.hosts.agent import serve

            log.configure()
            return serve()
        for name in ("grant", "revoke"):
            if options[name] is not None:
                return self._grant(name, options[name])
        if options["version"]:
            from camagick import __version__

            print(f"caspy {__version__}")
        elif options["list_all"]:
            from caspy.describe import list_all

            print(list_all(), end="")
        elif options["completion"] is not None:
            from caspy.shells import SCRIPTS

            print(SCRIPTS[options["completion"]], end="")
        else:
            return None
        return 0

    @property
    def _has_pipe(self) -> bool:
        """Whether there is something to run."""
        return bool(self._words) or self._options["yaml"] is not None

    def _visit(self, what: str, bus: str) -> int:
        """Look at a bus that is running, or end it."""
        from caspy import visit

        words, key = self._words, ""
        if what in visit.VISITS:
            bus, key, words = visit.parted(bus, words)
        if words:
            text = f"-{what} runs nothing: this word is too much"
            self._problems.append(Problem(text, words[0].at))
        if self._problems:
            raise Wrong(self._problems)
        with _blaming(*visit.ERRORS, at=self._at[what]):
            if what == "web":
                return visit.web(bus, self._options["web_control"])
            return visit.VISITS[what](bus, key)

    def _grant(self, what: str, bus: str) -> int:
        """Say who may do what with a bus from other hosts."""
        from camagick_broker.errors import AddressError
        from caspy import granting

        work = {"grant": granting.grant, "revoke": granting.revoke}[what]
        with _blaming(AddressError, at=self._at[what]):
            text, code = work(bus, [word.text for word in self._words])
        print(text, end="")
        return code

    def _recipe(self) -> list[Flow] | None:
        """Return the pipes asked for; None where the user asked for help, and got it."""
        from caspy.parse import parse

        parsed = parse(self._words)
        if parsed.asked:
            from caspy.describe import explain

            text, problems = explain(parsed.asked)
            if problems:
                raise Wrong(problems)
            print(text)
            return None
        source = self._options["yaml"]
        if source is None:
            self._problems += parsed.problems
            if not parsed.pipes and not self._problems:
                text = "there is no pipe to do this with (caspy -h shows examples)"
                self._problems.append(Problem(text, next(iter(self._at.values()), At())))
            return parsed.pipes
        if self._words:
            text = "with -yaml the pipes come from the file: this word is too much"
            self._problems.append(Problem(text, self._words[0].at))
        from caspy import yamlfile

        pipes, problems = yamlfile.load(source, self._at["yaml"])
        self._problems += problems
        return pipes

    def _build(self, pipes: list[Flow]) -> Built:
        """Return the flow objects; raises where anything is wrong anywhere."""
        from caspy import log
        from caspy.build import build

        log.configure()
        only_save = self._options["save"] is not None and self._options["plan"] is None
        built = build(pipes, construct=not only_save)
        if self._problems or built.problems:
            raise Wrong([*self._problems, *built.problems])
        return built

    def _execute(self, built: Built) -> int:
        """Save, show or run."""
        options = self._options
        if options["save"] is not None:
            from caspy.yamlfile import dumps

            _save(dumps(built.pipes), options["save"], self._at["save"])
            if options["plan"] is None:
                return 0
        from camagick.walk import leaves
        from caspy.plan import make_plan

        nodes = (node for flow in built.flows for node in leaves(flow))
        if options["yaml"] == "-" and any(node.reads_input for node in nodes):
            text = "the recipe comes from standard input, and a source wants to read it, too"
            raise Wrong([Problem(text, self._at["yaml"])])
        with _blaming(PlanError):
            plan = make_plan(
                built.flows, window=options["window"], count=options["count"], bus=options["bus"]
            )
        if options["plan"] is not None:
            print(self._shown(plan))
            return 0
        if options["emit"] is not None:
            print(self._emitted(built.pipes, plan), end="")
            return 0
        from caspy.execute import execute
        from caspy.policy import Policy

        policy = Policy(options["restart"], options["hang"], options["on_error"])
        watchers = [
            make
            for make in map(self._watcher, ("metrics", "stats", "web", "listen"))
            if make is not None
        ]
        with _blaming(PlanError):
            return int(execute(plan, policy, watchers, self._places()))

    def _shown(self, plan: Plan) -> str:
        """Return a plan as it is asked for, with what crosses the network where it runs."""
        from caspy.measured import measured
        from caspy.render import render

        passing = measured(plan, self._options["bus"])
        with _blaming(PlanError):
            return render(plan, self._options["plan"], self._places(), passing).rstrip("\n")

    def _emitted(self, pipes: Sequence[Flow], plan: Plan) -> str:
        """Return what another starter needs to run this."""
        from caspy.emit.forms import emit
        from caspy.yamlfile import dumps

        options, places = self._options, self._places()
        given = [name for name in _PASSED_ON if name in self._at]
        passed = [word for name in given for word in (f"-{name}", self._said[name]) if word]
        words = [word.text for word in self._words]
        for name in ("hosts", "yaml"):
            if options[name] is not None:
                path = Path(options[name])
                words += [f"-{name}", "-" if str(path) == "-" else str(path.absolute())]
        with _blaming(PlanError, at=self._at["emit"]):
            return emit(
                options["emit"], plan, options["bus"], places.hosts, places.engine, dumps(pipes),
                passed, words,
            )  # fmt: skip

    def _places(self) -> Places:
        """Return where other hosts are; raises where the hosts file is wrong."""
        from caspy import hostsfile
        from caspy.hosts.places import PATIENCE_S, Places
        from caspy.hosts.ports import ANY

        options, known = self._options, hostsfile.Hosts()
        if options["hosts"] is not None:
            known, problems = hostsfile.load(options["hosts"], self._at["hosts"])
            if problems:
                raise Wrong(problems)
        patience_s = options["patience"] or PATIENCE_S
        return Places(
            known, options["engine"], options["ports"] or ANY, patience_s,
            options["compress"] or "", options["insecure"],
        )  # fmt: skip

    def _watcher(self, name: str) -> Watcher | None:
        """Return what looks at the run as an option asks for; raises where that cannot be."""
        value = self._options[name]
        if value is None:
            return None
        from caspy import watchers

        with _blaming(PlanError, at=self._at[name]):
            if name == "listen":
                return watchers.gateway(value, self._options["ports"])
            if name == "web":
                return watchers.page(value, self._options["web_control"])
            make = {"stats": watchers.statistics, "metrics": watchers.metrics}
            return make[name](value)


def _save(text: str, target: str, at: At) -> None:
    """Write a recipe to a file, or to standard output."""
    if target == "-":
        print(text, end="")
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror or error}"
        raise Wrong([Problem(reason, at)]) from error
