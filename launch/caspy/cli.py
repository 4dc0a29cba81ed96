"""The command line: with `caspy.visit`, the only files of the launcher that print.

What costs time to import is imported where it is used: ``caspy -h`` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caspy import words as command_line
from caspy.errors import PlanError, Problem
from caspy.recipe import At

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.build import Built
    from caspy.hosts.places import Places
    from caspy.plan import Plan
    from caspy.recipe import Flow
    from caspy.watchers import Watcher

_SUMMARY = """Plug devices, processing, plots and storage together.

A pipe is read from left to right: --from-NAME is a source, --NAME a pipe, --to-NAME a sink, each
followed by its arguments. `[ A B ]` runs A, then B; `{ A B }` runs both on the same data; a lone
`,` separates independent pipes. `@workers=4` behind a pipe lets four processes share its work.
`--NAME ?` explains one of them.
"""

_EXAMPLES = """
\b
Examples:
  caspy --from-scratch random iffy=1 jedda=2048 --to-summary
  caspy --from-epics EXAMPLE:jedda --reshape 64 32 --npfun sum axis=1 --to-summary
  caspy --from-epics EXAMPLE:jedda { [ --npfun sum --rename {}_sum ] [ ] } --to-hdf5 my.h5#{tag}
  caspy --from-epics ?            what this source does, and its options
  caspy -list-all                 all sources, pipes and sinks
  caspy -yaml ad-hoc.spy          run a recipe; -save FILE writes one
  caspy -ls                       what is running; -top BUS, -stop BUS
"""

#: A shell asks what could be typed next, see `caspy.complete`.
COMPLETE = "CASPY_COMPLETE"

_FORMATS = click.Choice(command_line.OPTIONS["plan"].choices)


class _Window(click.ParamType):  # type: ignore[type-arg]
    """A number of iterations, or 'auto'."""

    name = "window"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else _FROM_1.convert(value, param, ctx)


class _Ports(click.ParamType):  # type: ignore[type-arg]
    """The lowest and the highest port."""

    name = "ports"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        low, dash, high = str(value).partition("-")
        if low.isdecimal() and (high.isdecimal() or not dash):
            found = int(low), int(high or low)
            if 0 < found[0] <= found[1] < 1 << 16:
                return found
        return self.fail("")


_FROM_0, _FROM_1 = click.IntRange(min=0), click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)
_SHELLS = click.Choice(("bash", "zsh", "fish"))
_CODECS = click.Choice(("auto", "lz4", "bslz4"))
_ENGINES = click.Choice(("ssh", "slurm", "local"))
_EMITTED = click.Choice(("kubernetes", "compose", "systemd"))
_ON_ERROR = click.Choice(("stop", "skip", "restart"))
_EXPECTED = {
    "plan": "one of text, dot, mermaid, json",
    "emit": "one of kubernetes, compose, systemd",
    "window": "a whole number from 1 on, or auto",
    "count": "a whole number from 1 on",
    "restart": "a whole number from 0 on",
    "hang": "a number of seconds, more than 0",
    "engine": "one of ssh, slurm, local",
    "compress": "one of auto, lz4, bslz4",
    "ports": "a range of ports, as 20000-20100",
    "patience": "a number of seconds, more than 0",
    "on-error": "one of stop, skip, restart",
    "completion": "one of bash, zsh, fish",
}


#: Options that mean the same wherever the launcher is started by what -emit prints.
_PASSED_ON = (
    "window", "count", "restart", "hang", "on-error", "engine", "ports", "patience", "compress",
    "insecure", "stats", "metrics", "web",
)  # fmt: skip


class _Launcher(click.Command):
    """A command whose options have a single dash and may stand anywhere in the pipeline."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Sort the words, check every option, and leave the accepted ones to click."""
        done = command_line.sort(args)
        by_name = {param.opts[0].lstrip("-"): param for param in self.params}
        ctx.obj = done
        accepted: list[str] = []
        for given in done.options:
            if given.name in ("h", "help"):
                return super().parse_args(ctx, ["-h"])
            if given.value is None:
                accepted.append(f"-{given.name}")
                continue
            try:
                by_name[given.name].type_cast_value(ctx, given.value)
            except click.BadParameter:
                text = f'option -{given.name}: "{given.value}" is not {_EXPECTED[given.name]}'
                done.problems.append(Problem(text, given.value_at))
            else:
                accepted.append(f"-{given.name}={given.value}")
        return super().parse_args(ctx, accepted)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[options] PIPE"]


@click.command(
    cls=_Launcher,
    help=_SUMMARY,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-version", is_flag=True, help="Print the version.")
@click.option("-list-all", is_flag=True, help="List all sources, pipes, sinks and flows.")
@click.option("-completion", type=_SHELLS, help="Print what makes the Tab key of a shell work.")
@click.option("-save", metavar="FILE", help="Write the recipe as YAML ('-': here); run nothing.")
@click.option("-yaml", metavar="FILE", help="Take the pipes from a file ('-': standard input).")
@click.option("-plan", type=_FORMATS, help="Show actors, edges and window; run nothing.")
@click.option("-emit", type=_EMITTED, help="Print manifests for another starter; run nothing.")
@click.option(
    "-window", type=_Window(), default="auto", metavar="N",
    help="Iterations at once; auto: by size and speed.",
)  # fmt: skip
@click.option("-count", type=_FROM_1, metavar="N", help="End after N iterations.")
@click.option("-bus", metavar="NAME", help="Name of the run, as ps and -ls show it.")
@click.option("-restart", type=_FROM_0, default=3, metavar="N", help="Restarts a minute (3).")
@click.option("-hang", type=_SECONDS, metavar="SECONDS", help="Kill a processor stuck so long.")
@click.option("-on-error", type=_ON_ERROR, default="stop", help="When a processor fails (stop).")
@click.option("-hosts", metavar="FILE", help="What stands behind the names in @HOST (TOML).")
@click.option("-engine", type=_ENGINES, default="ssh", help="How agents are started (ssh).")
@click.option("-ports", type=_Ports(), metavar="LOW-HIGH", help="Ports for other hosts.")
@click.option("-compress", type=_CODECS, help="Compress large arrays between hosts.")
@click.option("-patience", type=_SECONDS, metavar="SECONDS", help="Silence of a host (60).")
@click.option("-insecure", is_flag=True, help="No keys between hosts: anybody may read, write.")
@click.option("-agent", is_flag=True, hidden=True)
@click.option("-stats", metavar="FILE", help="Write statistics as JSON lines ('-': here).")
@click.option("-metrics", metavar="PORT", help="Serve metrics to Prometheus at [HOST:]PORT.")
@click.option("-web", metavar="[BUS|PORT]", help="Serve a running bus, or this run, as a page.")
@click.option("-web-control", metavar="FILE", help="Let who knows the token in FILE end the run.")
@click.option("-ls", metavar="[BUS [key=FILE]]", help="List running buses, or the actors of one.")
@click.option(
    "-top", metavar="[BUS [key=FILE]]", help="Watch a running bus: rates, queues, losses."
)
@click.option("-stop", metavar="BUS [key=FILE]", help="Drain and end a running bus.")
@click.option(
    "-listen", metavar="ADDRESS", help="Let holders of keys reach this run from elsewhere."
)
@click.option("-grant", metavar="BUS", help="Print a key for other hosts; --read-only, --list.")
@click.option("-revoke", metavar="BUS", help="End a key, and what it opened: -revoke BUS ID.")
@click.pass_context
def _caspy(ctx: click.Context, /, **options: Any) -> int:
    """Do what the options say. Returns the exit code."""
    return _Session(ctx.obj, options).run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default that of this process), and return the exit code.

    0 is a normal end, 1 a run that failed, 2 a command line that makes no sense.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    if argv is None and COMPLETE in os.environ:
        return _complete(os.environ[COMPLETE])
    try:
        code = _run(line or ["-h"])
        sys.stdout.flush()
    except _Wrong as wrong:
        _complain(line, wrong.problems)
        return 2
    except BrokenPipeError:  # `caspy -list-all | head`: nobody reads on, which is no error
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code if line else 2


def _complete(line: str) -> int:
    """Answer a shell whose user has pressed the Tab key."""
    from caspy.complete import answer

    options = {
        param.opts[0].lstrip("-"): param.help or ""
        for param in _caspy.params
        if isinstance(param, click.Option)
    }
    print(answer(line, options), end="")
    return 0


def _run(line: list[str]) -> int:
    try:
        with _caspy.make_context("caspy", line) as ctx:
            return int(_caspy.invoke(ctx))
    except click.exceptions.Exit as end:  # the help was printed
        return end.exit_code


class _Wrong(Exception):
    """The command line makes no sense."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems


class _Session:
    """One call of the program, after the options are known."""

    def __init__(self, line: command_line.Sorted, options: dict[str, Any]) -> None:
        self._words = line.words
        self._problems = line.problems
        self._at = {given.name: given.value_at for given in line.options}
        self._said = {given.name: given.value or "" for given in line.options}
        self._options = options

    def run(self) -> int:
        """Return the exit code."""
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
            raise _Wrong(self._problems)
        try:
            if what == "web":
                return visit.web(bus, self._options["web_control"])
            return visit.VISITS[what](bus, key)
        except visit.ERRORS as error:
            raise _Wrong([Problem(str(error), self._at[what])]) from error

    def _grant(self, what: str, bus: str) -> int:
        """Say who may do what with a bus from other hosts."""
        from camagick_broker.errors import AddressError
        from caspy import granting

        try:
            work = {"grant": granting.grant, "revoke": granting.revoke}[what]
            text, code = work(bus, [word.text for word in self._words])
        except AddressError as error:
            raise _Wrong([Problem(str(error), self._at[what])]) from error
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
                raise _Wrong(problems)
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
            raise _Wrong([*self._problems, *built.problems])
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
            raise _Wrong([Problem(text, self._at["yaml"])])
        try:
            plan = make_plan(
                built.flows, window=options["window"], count=options["count"], bus=options["bus"]
            )
        except PlanError as error:
            raise _Wrong([Problem(str(error))]) from error
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
        try:
            return int(execute(plan, policy, watchers, self._places()))
        except PlanError as error:
            raise _Wrong([Problem(str(error))]) from error

    def _shown(self, plan: Plan) -> str:
        """Return a plan as it is asked for, with what crosses the network where it runs."""
        from caspy.measured import measured
        from caspy.render import render

        passing = measured(plan, self._options["bus"])
        try:
            return render(plan, self._options["plan"], self._places(), passing).rstrip("\n")
        except PlanError as error:
            raise _Wrong([Problem(str(error))]) from error

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
        try:
            return emit(
                options["emit"], plan, options["bus"], places.hosts, places.engine, dumps(pipes),
                passed, words,
            )  # fmt: skip
        except PlanError as error:
            raise _Wrong([Problem(str(error), self._at["emit"])]) from error

    def _places(self) -> Places:
        """Return where other hosts are; raises where the hosts file is wrong."""
        from caspy import hostsfile
        from caspy.hosts.places import PATIENCE_S, Places
        from caspy.hosts.ports import ANY

        options, known = self._options, hostsfile.Hosts()
        if options["hosts"] is not None:
            known, problems = hostsfile.load(options["hosts"], self._at["hosts"])
            if problems:
                raise _Wrong(problems)
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

        try:
            if name == "listen":
                return watchers.gateway(value, self._options["ports"])
            if name == "web":
                return watchers.page(value, self._options["web_control"])
            make = {"stats": watchers.statistics, "metrics": watchers.metrics}
            return make[name](value)
        except PlanError as error:
            raise _Wrong([Problem(str(error), self._at[name])]) from error


def _save(text: str, target: str, at: At) -> None:
    """Write a recipe to a file, or to standard output."""
    if target == "-":
        print(text, end="")
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror or error}"
        raise _Wrong([Problem(reason, at)]) from error


def _complain(line: Sequence[str], problems: Sequence[Problem]) -> None:
    """Print every problem: what is wrong, and below it where."""
    for problem in sorted(problems, key=lambda problem: problem.at.word):
        print(command_line.report(line, problem), file=sys.stderr)
        if problem.cause is not None and os.environ.get("CASPY_LOG_LEVEL", "").upper() == "DEBUG":
            import traceback

            traceback.print_exception(problem.cause)
