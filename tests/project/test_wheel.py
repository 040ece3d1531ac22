"""The wheel, installed in a new environment outside the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel; the packages it depends on are lent by this one."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    for name in ("mmtoolkit", "plugins", "registry"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(clone)]
    subprocess.run(wheel, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=False)
    made = folder / "env" / "bin" / "python"
    install = [*pip, "--python", str(made), "install", "--no-deps", *map(str, folder.glob("*.whl"))]
    subprocess.run(install, check=True, capture_output=True)
    # A plain path line lends the dependencies but not this environment's editable install of the clone.
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def test_it_is_small(python: Path) -> None:
    (wheel,) = python.parents[2].glob("*.whl")
    assert wheel.stat().st_size < 20_000_000  # models/ and datasets/ are most of it


def ran(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, cwd=cwd, check=False, env={**os.environ}
    )


def test_it_lists_checks_and_knows_its_plugins(python: Path, tmp_path: Path) -> None:
    mmt = str(python.with_name("mmt"))
    where = ran(python, "-c", "import mmtoolkit, mmt_image, mmt_registry; print(mmtoolkit.__file__)", cwd=tmp_path)
    assert "/env/lib/" in where.stdout, where.stderr
    listed = ran(python, mmt, "list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "fashion_mini" in listed.stdout
    checked = ran(python, mmt, "check", "fashion_mini", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "10,000" in checked.stdout


def test_it_samples_from_the_trained_model(python: Path, tmp_path: Path) -> None:
    mmt = str(python.with_name("mmt"))
    sampled = ran(python, mmt, "sample", "fashion_mini", "--given", "label=Sandal", "--out", "x.png", cwd=tmp_path)
    assert (sampled.returncode, sampled.stdout) == (0, "x.png\n"), sampled.stderr
    assert (tmp_path / "x.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["plugins", "registry", "tests", "docs", "benchmarks"])
def test_no_module_of_a_common_name_is_left(name: str, python: Path, tmp_path: Path) -> None:
    assert "ModuleNotFoundError" in ran(python, "-c", f"import {name}", cwd=tmp_path).stderr


def test_it_holds_the_licences_and_type_markers(python: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import files; print(*files('mmtoolkit'), sep='\\n')"
    held = ran(python, "-c", code, cwd=tmp_path).stdout.split()
    assert {
        "mmtoolkit/py.typed",
        "mmt_image/py.typed",
        "mmtoolkit/runs/report.html.jinja",
        "mmtoolkit/runs/report_style.css",
        "mmtoolkit/scaffold/plugin/modality/example.csv",
    } <= set(held)
    assert any(path.endswith("licenses/LICENSE") for path in held)
    assert "mmt_registry/datasets/fashion_mini/LICENSE" in held
    for file in (ROOT / "registry" / "models").rglob("*.*"):
        assert f"mmt_registry/{file.relative_to(ROOT / 'registry')}" in held
    assert not [path for path in held if path.startswith(("plugins/", "registry/", "tests/"))]
