"""The command line: its options, and what is said where it makes no sense.

With `caspy.session` and `caspy.visit`, the only files of the launcher that print.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from caspy import words as command_line
from caspy.errors import Problem
from caspy.session import Session, Wrong

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    return Session(ctx.obj, options).run()


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
    except Wrong as wrong:
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


def _complain(line: Sequence[str], problems: Sequence[Problem]) -> None:
    """Print every problem: what is wrong, and below it where."""
    for problem in sorted(problems, key=lambda problem: problem.at.word):
        print(command_line.report(line, problem), file=sys.stderr)
        if problem.cause is not None and os.environ.get("CASPY_LOG_LEVEL", "").upper() == "DEBUG":
            import traceback

            traceback.print_exception(problem.cause)
