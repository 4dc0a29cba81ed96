"""Which processors there are, and what is said where one is not."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from caspy import catalogue
from caspy.errors import CatalogueError

EXTERNAL = '''
"""A module of one's own."""
from camagick.processor import ProcessorBase

class Processor(ProcessorBase):
    """Stand at the usual place."""

class Class(ProcessorBase):
    """Do something special.

    And more.
    """
    requires: tuple[str, ...] = ("surely_not_installed",)
    extra = "special"

class Other:
    pass
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of a module of the user's own."""
    (tmp_path / "launch_test_own").mkdir()
    (tmp_path / "launch_test_own" / "things.py").write_text(EXTERNAL)
    (tmp_path / "launch_test_own" / "broken.py").write_text("import surely_not_installed")
    (tmp_path / "launch_test_own" / "worse.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "launch_test_own.things"
    for name in [name for name in sys.modules if name.startswith("launch_test_own")]:
        del sys.modules[name]


@pytest.fixture
def plugin(module, monkeypatch):
    """Install an entry point."""
    points = EntryPoints([EntryPoint("special", f"{module}:Class", "camagick.sink")])
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda *, group: points.select(group=group)
    )
    catalogue._plugins.cache_clear()
    yield
    catalogue._plugins.cache_clear()


def refused(role, name) -> str:
    with pytest.raises(CatalogueError) as caught:
        catalogue.load(role, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_are_entries():
    assert "scratch" in catalogue.entries("source")
    assert {"sum", "npfun", "rename"} <= set(catalogue.entries("pipe"))
    assert set(catalogue.entries("flow")) == {"chain", "fanout"}
    assert all(not name.startswith("_") for name in catalogue.entries("pipe"))


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_every_entry_has_a_summary(role):
    for entry in catalogue.entries(role).values():
        assert catalogue.info(entry).summary, entry


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_what_a_file_says_is_what_the_class_says(role):
    for name, entry in catalogue.entries(role).items():
        info = catalogue.info(entry)
        if info.missing():
            continue
        cls = catalogue.load(role, name)
        assert cls.role == role
        assert (cls.requires or ()) == info.requires
        assert cls.extra == info.extra


def test_load():
    from camagick.pipe.idem import Processor

    assert catalogue.load("pipe", "idem") is Processor


@pytest.mark.parametrize(
    ("role", "name", "expected"),
    [
        ("sink", "sumary", 'no such sink "sumary" (did you mean "summary"?)'),
        ("pipe", "summary", 'no such pipe "summary" (there is a sink of that name: --to-summary)'),
        ("pipe", "sumary", 'no such pipe "sumary" (did you mean the sink --to-summary?)'),
        ("pipe", "chain", 'no such pipe "chain" (a chain is written [ ... ])'),
        ("sink", "fanout", 'no such sink "fanout" (a fanout is written { ... })'),
        ("pipe", "yaml", 'no such pipe "yaml" (the option of that name has one dash: -yaml)'),
        ("pipe", "zzzzz", 'no such pipe "zzzzz" (caspy -list-all shows what there is)'),
        (
            "pipe",
            "npfun=sum",
            'no such pipe "npfun=sum" (an argument is a word of its own: --npfun sum)',
        ),
        ("pipe", "no_such.mod:C", 'no module "no_such" to take the pipe no_such.mod:C from'),
        (
            "pipe",
            "json:JSONDecoder",
            "json:JSONDecoder is no subclass of camagick.processor.ProcessorBase",
        ),
        (
            "pipe",
            "json:JSONDecodr",
            'module json has no class "JSONDecodr" (did you mean "JSONDecoder"?)',
        ),
    ],
)
def test_refused(role, name, expected):
    assert refused(role, name) == expected


def test_a_module_beside_the_recipe(module):
    assert catalogue.load("pipe", module).__name__ == "Processor"
    assert catalogue.load("source", f"{module}:Class").__name__ == "Class"


def test_external_trouble(module):
    assert refused("pipe", f"{module}:Clas") == (
        f'module {module} has no class "Clas" (did you mean "Class"?)'
    )
    assert "is no subclass" in refused("pipe", f"{module}:Other")
    assert refused("pipe", "launch_test_own.things.more") == (
        'no module "launch_test_own.things.more" to take the pipe launch_test_own.things.more from'
    )
    assert refused("pipe", "launch_test_own.broken") == (
        "pipe launch_test_own.broken cannot be imported: "
        "ModuleNotFoundError: No module named 'surely_not_installed'"
    )
    assert refused("pipe", "launch_test_own.worse:X") == (
        "pipe launch_test_own.worse:X cannot be imported: ZeroDivisionError: division by zero"
    )


@pytest.mark.usefixtures("plugin")
def test_entry_points(module, monkeypatch):
    monkeypatch.syspath_prepend(".")
    entry = catalogue.entries("sink")["special"]
    assert entry.module == module
    info = catalogue.info(entry)
    assert info == catalogue.Info("Do something special.", ("surely_not_installed",), "special")
    assert module not in sys.modules
    assert catalogue.load("sink", "special").__name__ == "Class"
    catalogue.info.cache_clear()


def test_a_missing_extra_is_named(monkeypatch):
    def nothing(_name):
        raise ModuleNotFoundError("No module named 'h5py'", name="h5py")

    monkeypatch.setattr("importlib.import_module", nothing)
    monkeypatch.setattr(catalogue, "is_installed", lambda library: library != "h5py")
    monkeypatch.setattr(
        catalogue, "info", lambda _entry: catalogue.Info("Store.", ("h5py",), "hdf5")
    )
    assert refused("sink", "hdf5") == (
        "sink hdf5 needs h5py, which is not installed: pip install '.[hdf5]'"
    )


def test_is_installed():
    assert catalogue.is_installed("json.decoder")
    assert catalogue.is_installed("__main__")
    assert not catalogue.is_installed("surely_not_installed.sub")
