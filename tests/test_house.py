"""The house rules: imports go one way, the live system loads no torch, and nobody else owns our names."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"models": {"models"}, "export": {"models", "export"}, "stream": {"models", "export", "stream"}}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        ours = imported(path) & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


def test_the_live_system_loads_no_training_package():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "stream").rglob("*.py")
        if path.name != "__init__.py"
    ]
    code = (
        f"import importlib, sys, facewitness\nfor m in {modules!r}: importlib.import_module(m)\n"
        "heavy = {'torch', 'facenet_pytorch', 'onnx', 'matplotlib', 'skimage'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_public_face_only_re_exports():
    tree = ast.parse((ROOT / "facewitness.py").read_text("utf-8"))
    assert all(isinstance(node, ast.ImportFrom | ast.Assign | ast.Expr) for node in tree.body)
    import facewitness

    assert all(hasattr(facewitness, name) for name in facewitness.__all__)


def test_no_other_distribution_owns_our_names():
    owners = packages_distributions()
    for name in ("stream", "models", "export", "facewitness"):
        assert set(owners.get(name, ["facewitness"])) == {"facewitness"}


def test_every_file_says_what_it_is_for():
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path
