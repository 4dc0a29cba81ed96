"""Which processors there are: files in the folders of camagick, and entry points of others.

Nothing is imported to list them; what a file says about itself is read from its syntax tree.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caspy.errors import CatalogueError
from caspy.recipe import BRACKETS, Kind, Role, flag
from caspy.words import OPTIONS

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

ROLES: tuple[Role, ...] = ("source", "pipe", "sink")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a processor is to be found."""

    role: Role
    name: str
    module: str
    attribute: str = "Processor"


@dataclass(frozen=True, slots=True)
class Info:
    """What a processor's file says: its first line of help, the libraries it needs, their extra."""

    summary: str = ""
    requires: tuple[str, ...] = ()
    extra: str = ""

    def missing(self) -> str:
        """Return the first library that is not installed, '' where all are."""
        return next((name for name in self.requires if not is_installed(name)), "")


def is_installed(library: str) -> bool:
    """Tell whether a library could be imported, without importing it."""
    top = library.partition(".")[0]
    return top in sys.modules or _spec(top) is not None


def is_external(name: str) -> bool:
    """Tell whether a name is that of a module or class, not of an entry."""
    return "." in name or ":" in name


def entries(role: Role | str) -> dict[str, Entry]:
    """Return the processors of a role by name, sorted; role 'flow' gives chain and fanout."""
    found = {**_plugins(role), **_built_in(role)} if role in ROLES else _built_in(role)
    return dict(sorted(found.items()))


def find(role: Role, name: str) -> Entry:
    """Return the processor of that name.

    Raises
    ------
    CatalogueError
        When there is none; the message holds a suggestion.
    """
    if is_external(name):
        module, _, attribute = name.partition(":")
        return Entry(role, name, module, attribute or "Processor")
    entry = _built_in(role).get(name) or _plugins(role).get(name)
    if entry is None:
        raise CatalogueError(f'no such {role} "{name}" ({suggestion(role, name)})')
    return entry


def load(role: Role, name: str) -> type[Any]:
    """Import one processor's class, and nothing else.

    Raises
    ------
    CatalogueError
        When there is none, when what it needs is not installed, or when it is no processor.
    """
    entry = find(role, name)
    if is_external(name) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as `python -m` would: one's own file beside the recipe
    try:
        module = importlib.import_module(entry.module)
    except Exception as error:
        raise CatalogueError(_import_trouble(entry, error)) from error
    return _class_of(entry, module)


def _class_of(entry: Entry, module: Any) -> type[Any]:
    """Return the class that an entry names, once it is certain to be one."""
    found: Any = module
    for part in entry.attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        near = difflib.get_close_matches(entry.attribute, vars(module), n=1)
        hint = f' (did you mean "{near[0]}"?)' if near else ""
        raise CatalogueError(f'module {entry.module} has no class "{entry.attribute}"{hint}')
    from camagick.processor import ProcessorBase

    if not (isinstance(found, type) and issubclass(found, ProcessorBase)):
        raise CatalogueError(
            f"{entry.module}:{entry.attribute} is no subclass of camagick.processor.ProcessorBase"
        )
    return found


def _import_trouble(entry: Entry, error: Exception) -> str:
    """Say in one line why a module could not be imported."""
    missing = info(entry).missing()
    if missing:
        return needs(entry.role, entry.name, missing, info(entry).extra)
    name = getattr(error, "name", None)
    if (
        isinstance(error, ModuleNotFoundError)
        and name
        and f"{entry.module}.".startswith(f"{name}.")
    ):
        return f'no module "{name}" to take the {entry.role} {entry.name} from'
    text = " ".join(str(error).split())
    return f"{entry.role} {entry.name} cannot be imported: {type(error).__name__}: {text}"


def needs(role: str, name: str, library: str, extra: str) -> str:
    """Return the sentence about a library that is not installed."""
    remedy = f"pip install '.[{extra}]'" if extra else f"pip install {library}"
    return f"{role} {name} needs {library}, which is not installed: {remedy}"


def suggestion(role: Role, name: str) -> str:
    """Return what the user may have meant by a name that does not exist."""
    if "=" in name:
        word, _, value = name.partition("=")
        return f"an argument is a word of its own: {flag(role, word)} {value}"
    if name in BRACKETS:
        kind: Kind = "chain" if name == "chain" else "fanout"
        return f"a {name} is written {' ... '.join(BRACKETS[kind])}"
    if role == "pipe" and name in OPTIONS:
        return f"the option of that name has one dash: -{name}"
    for other in ROLES:
        if other != role and name in entries(other):
            return f"there is a {other} of that name: {flag(other, name)}"
    alike, other, near = max(
        (difflib.SequenceMatcher(None, name, entry).ratio() + (other == role) / 10, other, entry)
        for other in ROLES
        for entry in ("", *entries(other))
    )
    if alike >= 0.65:
        what = f'"{near}"' if other == role else f"the {other} {flag(other, near)}"
        return f"did you mean {what}?"
    return "caspy -list-all shows what there is"


@functools.cache
def info(entry: Entry) -> Info:
    """Return what a processor's file says about it, without importing it."""
    path = _locate(entry.module)
    if path is None:
        return Info()
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Info()
    cls = next(
        (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == entry.attribute), None
    )
    text = (ast.get_docstring(cls) if cls is not None else None) or ast.get_docstring(tree) or ""
    said = _constants(cls) if cls is not None else {}
    requires = said.get("requires", ())
    return Info(
        text.partition("\n")[0].strip(),
        (requires,) if isinstance(requires, str) else tuple(requires),
        str(said.get("extra", "")),
    )


def _constants(cls: ast.ClassDef) -> dict[str, Any]:
    """Return the class attributes that are literals."""
    found = {}
    for node in cls.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            try:
                found[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return found


def _locate(module: str) -> Path | None:
    """Return the file of a module without importing its parents."""
    top, *rest = module.split(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _spec(top: str) -> ModuleSpec | None:
    """Return where a top-level module is, without importing it."""
    try:
        return importlib.util.find_spec(top)
    except ValueError:  # imported already, by something that left no spec behind
        return None


@functools.cache
def _built_in(role: str) -> dict[str, Entry]:
    """Return what the folder of a role holds: the name of the file is the name of the flag."""
    spec = _spec("camagick")
    found: dict[str, Entry] = {}
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in Path(folder, role).glob("*"):
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and not path.name.startswith("_"):
                found[path.stem] = Entry(role, path.stem, f"camagick.{role}.{path.stem}")  # type: ignore[arg-type]
    return found


@functools.cache
def _plugins(role: Role) -> dict[str, Entry]:
    """Return what other distributions bring: entry points of the group ``camagick.ROLE``."""
    from importlib.metadata import entry_points

    return {
        point.name: Entry(role, point.name, point.module, point.attr or "Processor")
        for point in entry_points(group=f"camagick.{role}")
    }
