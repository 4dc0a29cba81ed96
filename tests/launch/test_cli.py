"""The command line as a whole: what is printed, and with which exit code it ends."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import pytest

import camagick
from caspy import log
from caspy.cli import main
from caspy.errors import PlanError
from caspy.policy import Policy
from caspy.yamlfile import loads

SOURCE = ("--from-scratch", "random", "a=1")


@pytest.fixture(autouse=True)
def _root_logger():
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def caspy(capsys):
    """Run a command line; return exit code, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def calls(monkeypatch):
    """Replace what runs a plan; return what it was called with."""
    import caspy.execute
    import caspy.measured
    import caspy.plan
    import caspy.render

    made: dict[str, object] = {}

    def make_plan(flows, **options):
        made.update(options, flows=flows)
        return "the plan"

    def execute(plan, policy, watchers, places):
        assert not watchers
        assert not list(places.hosts)
        made.update(ran=plan, policy=policy)
        return 7

    monkeypatch.setattr(caspy.plan, "make_plan", make_plan)
    monkeypatch.setattr(caspy.render, "render", lambda plan, form, *_: f"{plan} as {form}\n")
    monkeypatch.setattr(caspy.measured, "measured", lambda *_: None)
    monkeypatch.setattr(caspy.execute, "execute", execute)
    return made


def test_alone_it_prints_the_help(caspy):
    code, out, err = caspy()
    assert code == 2
    assert out.startswith("Usage: caspy [options] PIPE\n")
    assert err == ""
    assert caspy("-h") == (0, out, "")


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["-he"], ["--nosuch", "-h", "]", "-foo"]])
def test_help_stands_anywhere(caspy, words):
    code, out, err = caspy(*words)
    assert code == 0
    assert "Examples:\n  " in out
    assert all(f"  -{name}" in out for name in ("version", "list-all", "save", "yaml", "plan"))
    assert all(len(line) <= 100 for line in out.splitlines())
    assert err == ""


@pytest.mark.parametrize("word", ["-version", "-v"])
def test_version(caspy, word):
    assert caspy(word) == (0, f"caspy {camagick.__version__}\n", "")


def test_list_all(caspy):
    code, out, _ = caspy("-l")
    assert code == 0
    assert "--from-scratch" in out


@pytest.mark.parametrize("question", ["?", "-?"])
def test_help_on_a_processor(caspy, question):
    code, out, err = caspy("{", "--npfun", question)
    assert code == 0
    assert out.startswith('The pipe "npfun"\n')
    assert err == ""


def test_help_on_a_flow(caspy):
    assert caspy("[", "?")[1].startswith("[ ... ]: chain\n")


def test_help_on_nothing(caspy):
    assert caspy("--npfn", "?") == (
        2,
        "",
        (
            'caspy: no such pipe "npfn" (did you mean "npfun"?)\n'
            "    caspy --npfn ?\n"
            "          ^^^^^^\n"
        ),
    )
    assert caspy("?")[0] == 2


def test_a_mistake_with_its_place(caspy):
    assert caspy(*SOURCE, "--to-sumary") == (
        2,
        "",
        (
            'caspy: no such sink "sumary" (did you mean "summary"?)\n'
            "    caspy --from-scratch random a=1 --to-sumary\n"
            "                                    ^^^^^^^^^^^\n"
        ),
    )


def test_all_mistakes_at_once_in_order(caspy):
    line = "x -foo --from-scratch { } -window 0 -plan=gif --npfun sum ] -yaml"
    code, out, err = caspy(*line.split())
    assert (code, out) == (2, "")
    found = [one.removeprefix("caspy: ") for one in err.splitlines() if one.startswith("caspy: ")]
    expected = [
        '"x" stands before the first processor',
        'no such option "-foo"',
        'source scratch: argument "method" is missing',
        "an empty fanout { }",
        'option -window: "0" is not a whole number from 1 on, or auto',
        'option -plan: "gif" is not one of text, dot, mermaid, json',
        '"]" closes nothing',
        "option -yaml needs a value behind it",
    ]
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-plan"], "there is no pipe to do this with"),
        (["-save", "x.spy"], "there is no pipe to do this with"),
        (["-bus", "a"], "there is no pipe to do this with"),
        (["--sum"], "nothing to process: a pipe begins with a source (--from-...)"),
        ([*SOURCE, ","], 'no pipe behind ","'),
        ([*SOURCE, "--slice", "-a"], 'no such option "-a"'),
        (["-yaml", "no.spy"], "cannot read no.spy: No such file or directory"),
        (["-yaml", "no.spy", "-version=1"], "option -version takes no value"),
    ],
)
def test_usage_errors(caspy, words, text):
    code, out, err = caspy(*words)
    assert (code, out) == (2, "")
    assert f"caspy: {text}" in err
    assert "Traceback" not in err
    assert "^" in err


def test_no_traceback_but_for_those_who_ask(caspy, monkeypatch):
    words = ("--from-scratch", "nosuch", "a=1")
    assert "Traceback" not in caspy(*words)[2]
    monkeypatch.setenv("CASPY_LOG_LEVEL", "DEBUG")
    assert "Traceback" in caspy(*words)[2]


def test_run(caspy, calls):
    assert caspy(*SOURCE, "-w", "3", "--to-summary", "-count", "5", "-b", "me")[0] == 7
    assert calls.pop("ran") == "the plan"
    (flow,) = calls.pop("flows")
    assert [child.name for child in flow.children] == ["scratch", "summary"]
    assert calls.pop("policy") == Policy()
    assert calls == {"window": 3, "count": 5, "bus": "me"}


def test_a_window_that_fits_itself(caspy, calls):
    assert caspy(*SOURCE, "-window", "auto")[0] == 7
    assert calls["window"] == "auto"


def test_what_to_do_when_actors_die(caspy, calls):
    assert caspy("-restart", "0", *SOURCE, "-hang", "2.5", "-on-error", "skip")[0] == 7
    assert calls["policy"] == Policy(0, 2.5, "skip")


def test_defaults(caspy, calls):
    assert caspy(*SOURCE, ",", *SOURCE)[0] == 7
    assert len(calls.pop("flows")) == 2
    assert calls.pop("policy") == Policy(restart=3, hang_s=None, on_error="stop")
    assert calls == {"window": "auto", "count": None, "bus": None, "ran": "the plan"}


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["-plan"], "text"),
        (["-p", "dot"], "dot"),
        (["-plan=json"], "json"),
        (["-pl", "mermaid"], "mermaid"),
    ],
)
def test_plan_runs_nothing(caspy, calls, words, form):
    assert caspy(*words, *SOURCE) == (0, f"the plan as {form}\n", "")
    assert "ran" not in calls


def test_a_flow_that_cannot_be_planned(caspy, monkeypatch):
    def make_plan(_flows, **_options):
        raise PlanError("this cannot be laid out")

    monkeypatch.setattr("caspy.plan.make_plan", make_plan)
    assert caspy(*SOURCE) == (2, "", "caspy: this cannot be laid out\n")


@pytest.mark.usefixtures("calls")
def test_save_prints_and_runs_nothing(caspy, calls):
    code, out, err = caspy(*SOURCE, "--npfun", "sum", "axis=(0,)", "-save", "-")
    assert (code, err) == (0, "")
    assert out == (
        "chain:\n- from:\n  - scratch\n  - random\n  params:\n    a: 1\n"
        "- params:\n    axis: !tuple [0]\n  via:\n  - npfun\n  - sum\n"
    )
    assert calls == {}


def test_save_yaml_and_back(caspy, calls, tmp_path):
    path = tmp_path / "a.spy"
    line = (
        *SOURCE,
        "{",
        "[",
        "]",
        "--rename",
        "5",
        "}",
        "--to-summary",
        "fmt={tag}={}",
        ",",
        *SOURCE,
    )
    assert caspy(*line, "-save", str(path)) == (0, "", "")
    text = path.read_text()
    assert "- '5'" in text
    assert caspy("-save", "-yaml", str(path)) == (0, text, "")
    assert caspy("-y", str(path))[0] == 7
    assert len(calls["flows"]) == 2
    assert len(loads(text, "")[0]) == 2


def test_save_and_plan_do_both(caspy, calls, tmp_path):
    path = tmp_path / "a.spy"
    assert caspy(*SOURCE, "-save", str(path), "-plan")[1] == "the plan as text\n"
    assert path.exists()
    assert "ran" not in calls


def test_save_to_nowhere(caspy, tmp_path):
    code, _, err = caspy(*SOURCE, "-save", str(tmp_path))
    assert code == 2
    assert f"caspy: cannot write {tmp_path}: Is a directory\n" in err
    assert "^" in err


def test_yaml_from_standard_input(caspy, calls, monkeypatch):
    text = b"chain: [{from: [scratch, random], params: {a: 1}}]"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert caspy("-y", "-")[0] == 7
    assert calls["ran"] == "the plan"


def test_words_beside_yaml(caspy, tmp_path):
    path = tmp_path / "a.spy"
    path.write_text("chain: [{from: [scratch, random], params: {a: 1}}]")
    code, _, err = caspy("-y", str(path), "--to-summary", "x")
    assert code == 2
    assert err.count("caspy: ") == 1
    assert "with -yaml the pipes come from the file: this word is too much" in err


def test_mistakes_in_a_file_name_their_place(caspy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.spy").write_text(
        "chain:\n- from: [scratch, random, a]\n- fanout:\n  - to: sumary\n  - 5\n"
        "---\nchain: [{via: sum}]"
    )
    code, out, err = caspy("-y", "a.spy")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        (
            "caspy: a.spy: document 1: chain[1].fanout[1]: expected a mapping with chain, fanout, "
            "from, via or to, not 5"
        ),
        (
            "caspy: a.spy: document 1: chain[1].fanout[0]: no such sink "
            '"sumary" (did you mean "summary"?)'
        ),
        "caspy: a.spy: document 2: nothing to process: a pipe begins with a source (--from-...)",
    ]


def test_the_line_may_hold_anything(caspy):
    code, _, err = caspy(*SOURCE, "--to-\x1b[31m\n")
    assert code == 2
    assert "\x1b" not in err


def test_a_reader_who_goes_away():
    done = subprocess.run(
        ["bash", "-c", '"$0" -m caspy -list-all | true; exit ${PIPESTATUS[0]}', sys.executable],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "caspy", "--from-nosuch"],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith('caspy: no such source "nosuch"')


@pytest.mark.errors_expected
def test_log_lines(capsys, monkeypatch):
    monkeypatch.setenv("CASPY_LOG_LEVEL", "info")
    log.configure()
    log.configure()
    logger = logging.getLogger("camagick.sink.hdf5")
    logger.error('msg="Overwrite not permitted" index=%d', 0)
    logger.info('say "hi"\nagain', extra={"file": "my-data.h5", "dataset": "/a b", "frames": 3})
    logger.debug("not shown")
    logging.getLogger("caproto.bcast").error("not shown")
    logger.error("it failed", exc_info=ValueError("no good"))
    assert capsys.readouterr().err == (
        'ERROR:camagick.sink.hdf5:msg="Overwrite not permitted" index=0\n'
        'INFO:camagick.sink.hdf5:msg="say \\"hi\\"\\nagain" '
        'file=my-data.h5 dataset="/a b" frames=3\n'
        'ERROR:camagick.sink.hdf5:msg="it failed" error="ValueError: no good"\n'
    )


def test_an_unknown_level_is_said_once(capsys, monkeypatch):
    monkeypatch.setenv("CASPY_LOG_LEVEL", "loud")
    log.configure()
    assert capsys.readouterr().err == (
        'WARNING:caspy:msg="unknown CASPY_LOG_LEVEL, using WARNING" given=LOUD '
        'known="DEBUG,INFO,WARNING,ERROR,CRITICAL"\n'
    )


def test_debug_shows_tracebacks(capsys, monkeypatch):
    monkeypatch.setenv("CASPY_LOG_LEVEL", "DEBUG")
    log.configure()
    with pytest.raises(ValueError, match="no good") as caught:
        raise ValueError("no good")
    logging.getLogger("x").warning("it failed", exc_info=caught.value)
    assert "Traceback" in capsys.readouterr().err


def test_what_a_processor_wants_done_at_the_end_is_done(tmp_path):
    (tmp_path / "tidy.py").write_text(
        "import atexit, sys\n"
        "from camagick.processor import ProcessorBase\n"
        "atexit.register(print, 'tidied up', file=sys.stderr)\n"
        "class Tidy(ProcessorBase):\n"
        "    def process(self, data, context):\n"
        "        return data\n"
    )
    line = "-count 2 --from-scratch counter n --tidy:Tidy --to-summary"
    done = subprocess.run(
        [sys.executable, "-m", "caspy", *line.split()],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "n: [0.]\nn: [1.]\n")
    assert done.stderr == "tidied up\n"  # once, in the launcher
