"""The floors of the house: which package may import what, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ablations.ledger import Ledger
from ablations.run_directory import StudyDirectory
from ablations.storages.sqlite import sqlite_url
from studies.loading import load_study
from studies.planning import make_plan

ROOT = Path(__file__).parents[1]
PACKAGES = ("ablations", "lightning_modules", "reports", "studies")

FORBIDDEN = {
    "studies": {
        *("ablations", "lightning_modules", "reports"),
        *("torch", "pytorch_lightning", "mlflow", "optuna", "pandas", "numpy"),
    },
    "lightning_modules": {"ablations", "reports", "optuna", "mlflow", "pandas"},
    "reports": {"ablations", "lightning_modules", "torch", "pytorch_lightning", "optuna"},
}
"""Top-level modules that a floor must not import."""

ONLY_IN = {
    ("reports", "mlflow"): ("reports/results/mlflow_source.py",),
    ("ablations", "mlflow"): ("ablations/tracking*.py",),
    ("ablations", "optuna"): (
        "ablations/claims.py",
        "ablations/ledger.py",
        "ablations/pruning.py",
        "ablations/sampling.py",
        "ablations/seed_pruning.py",
        "ablations/run_status.py",
        "ablations/storages/*.py",
        "ablations/trial_index.py",
    ),
    ("ablations", "sqlalchemy"): ("ablations/storages/*.py",),
}
"""Package and module to the files that alone may import it when they run."""


class Import(NamedTuple):
    """One import statement, wherever it stands."""

    file: str
    module: str
    line: int
    for_types: bool
    """Whether it stands under `if TYPE_CHECKING`."""

    @property
    def top(self) -> str:
        """The package that is imported from."""
        return self.module.partition(".")[0]


def imports_in(source: str, file: str) -> list[Import]:
    """Every import of a file, those inside functions too."""
    return list(_imports(ast.parse(source), file, for_types=False))


def _imports(node: ast.AST, file: str, *, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        under = for_types or (isinstance(node, ast.If) and _is_type_checking(node, child))
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, alias.name, child.lineno, under)
        elif isinstance(child, ast.ImportFrom):
            yield Import(file, "." * child.level + (child.module or ""), child.lineno, under)
        elif isinstance(child, ast.Call) and _is_dynamic_import(child):
            yield Import(file, str(child.args[0].value), child.lineno, under)
        yield from _imports(child, file, for_types=under)


def _is_type_checking(node: ast.If, child: ast.AST) -> bool:
    return (
        isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and child in node.body
    )


def _is_dynamic_import(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    literal = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return name in ("import_module", "__import__") and literal


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(package: str) -> list[Import]:
    return [
        found
        for path in files_of(package)
        for found in imports_in(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    ]


def test_imports_are_found_wherever_they_stand():
    source = (
        "import a.b as c\n"
        "if TYPE_CHECKING:\n    from d import e\nelse:\n    import f\n"
        "def g():\n    from h.i import j\n    importlib.import_module('k.l')\n"
        "class M:\n    try:\n        import n, o\n    except ImportError: __import__('p')\n"
        "from . import q\n"
    )
    found = [(i.module, i.for_types) for i in imports_in(source, "x.py")]
    assert found == [
        *[("a.b", False), ("d", True), ("f", False), ("h.i", False), ("k.l", False)],
        *[("n", False), ("o", False), ("p", False), (".", False)],
    ]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_floor_stands_only_on_those_below_it(package):
    found = imports_of(package)
    assert found
    assert [i for i in found if i.top in FORBIDDEN[package]] == []


@pytest.mark.parametrize(("package", "module"), ONLY_IN)
def test_some_modules_have_one_door(package, module):
    patterns = ONLY_IN[package, module]
    users = {i.file for i in imports_of(package) if i.top == module and not i.for_types}
    assert users, f"nothing in {package} imports {module} any more: drop the row"
    assert [f for f in users if not any(Path(f).match(p) for p in patterns)] == []


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "benchmarks"])
def test_lightning_has_one_spelling(package):
    for path in files_of(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    assert alias.name.partition(".")[0] != "lightning", path
                    if alias.name == "pytorch_lightning":
                        assert alias.asname == "pl", path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] != "lightning", path
                assert node.module != "pytorch_lightning", path


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_absolute_and_do_not_reach_into_tests(package):
    found = imports_of(package)
    assert [i for i in found if i.module.startswith(".") or i.top in ("tests", "benchmarks")] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_files_hold_one_docstring(package):
    for path in (ROOT / package).rglob("__init__.py"):
        [statement] = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(statement, ast.Expr), path


def test_every_package_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts) for p in PACKAGES for path in files_of(p)
    }
    assert sorted(folders) == sorted(project["tool"]["setuptools"]["packages"])
    for folder in folders:
        assert (ROOT / folder.replace(".", "/") / "__init__.py").is_file(), folder


def store_a_queued_study(home: Path) -> None:
    plan = make_plan(load_study("quickstart").study)
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, "name: quickstart")
    ledger = Ledger(sqlite_url(directory.ledger_path), plan.study.name)
    ledger.reconcile(run.run_key for run in plan.runs)


LEAVES_OUT = """
import sys
from ablations.cli import main
try:
    status = main(sys.argv[2:])
except SystemExit as stop:
    status = stop.code
assert status == int(sys.argv[1]), status
heavy = {"torch", "pytorch_lightning", "mlflow", "pandas", "datasets"} & sys.modules.keys()
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["--help"]),
        (0, ["run", "--help"]),
        (0, ["query", "--help"]),
        (2, ["query"]),
        (0, ["plan", "quickstart", "--set", "seeds=3"]),
        (0, ["plan", "quickstart", "--json"]),
        (0, ["list"]),
        (0, ["list", "--keys"]),
        (0, ["status", "quickstart"]),
        (2, ["plan", "quikstart"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_answers_without_heavy_packages(status, arguments, tmp_path):
    if arguments[0] in ("list", "status"):
        store_a_queued_study(tmp_path)
        arguments = [*arguments, "--home", str(tmp_path)]
    command = [sys.executable, "-c", LEAVES_OUT, str(status), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr
