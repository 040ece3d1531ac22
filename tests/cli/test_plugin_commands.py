"""Commands of plugins: the entry-point group `mmtoolkit.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from facts import assert_facts
from runs import mmt, mmt_process

COMMANDS = """\
import typer

from mmtoolkit import UserError

tools = typer.Typer(help="Things to do with flocks.")


@tools.command()
def count(run: str, twice: bool = False) -> None:
    print(run, 2 if twice else 1)


@tools.command()
def fail() -> None:
    raise UserError("flock.csv: is empty; give it rows")


def greet(ctx: typer.Context, name: str = "you") -> None:
    "Say hello."
    print("hello", name, *ctx.obj)


constant = 3
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a distribution with one module of commands on the path; gives its folder."""

    def make(name: str, text: str, *lines: str) -> Path:
        site, module = tmp_path / name, name.replace("-", "_")
        info = site / f"{module}-1.5.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text("\n".join(["[mmtoolkit.commands]", *lines]) + "\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return make


@pytest.fixture
def flocks(install: Callable[..., Path]) -> Path:
    return install(
        "mmt-herds", COMMANDS, "flock = mmt_herds:tools", "greet = mmt_herds:greet", "none = mmt_herds:constant"
    )


@pytest.mark.usefixtures("flocks")
def test_an_application_and_a_function_are_commands() -> None:
    ended = mmt("flock", "count", "runs/a", "--twice")
    assert (ended.status, ended.out) == (0, "runs/a 2\n")
    assert "Things to do with flocks." in mmt("flock", "--help").out
    assert mmt("greet", "--name", "Ada").out == "hello Ada\n"
    assert "Say hello." in mmt("greet", "-h").out


@pytest.mark.usefixtures("flocks")
def test_a_command_receives_the_plugin_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.touch()
    assert mmt("greet", "--plugin", file).out == f"hello you {file}\n"


@pytest.mark.usefixtures("flocks")
def test_a_user_error_ends_with_status_2_and_a_line() -> None:
    ended = mmt("flock", "fail")
    assert (ended.status, ended.out, ended.err) == (2, "", "flock.csv: is empty; give it rows\n")


def test_help_lists_commands_without_importing_them(flocks: Path) -> None:
    (flocks / "mmt_herds.py").write_text("raise SystemExit('imported')")
    ended = mmt_process("--help", PYTHONPATH=str(flocks))
    assert (ended.status, ended.err) == (0, "")
    lines = [line for line in ended.out.splitlines() if "mmt-herds 1.5" in line]
    assert [line.split()[1] for line in lines] == ["flock", "greet", "none"]


@pytest.mark.slow
def test_ours_come_first_and_load_nothing(install: Callable[..., Path]) -> None:
    site = install("mmt-thief", "raise SystemExit('imported')", "schema = mmt_thief:x", "check = mmt_thief:x")
    ended = mmt_process("schema", PYTHONPATH=str(site))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("{")
    assert "mmt-thief" not in mmt_process("--help", PYTHONPATH=str(site)).out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("y = 1", "AttributeError: module 'mmt_bad' has no attribute 'x'"),
        ("x = 1", "TypeError: mmt_bad:x is int"),
        ("import typer; x = typer.Typer()", "RuntimeError: Could not get a command for this Typer instance"),
    ],
)
@pytest.mark.usefixtures("flocks")
def test_a_broken_command_is_one_line_and_the_others_work(text: str, error: str, install: Callable[..., Path]) -> None:
    install("mmt-bad", text, "bad = mmt_bad:x")
    ended = mmt("bad")
    (line,) = ended.err.splitlines()
    assert ended.status == 2
    assert_facts(line, "mmt bad: ", "mmt-bad 1.5", f": {error}", "; ", "mend or uninstall mmt-bad")
    assert mmt("greet").status == 0
    assert mmt("list", "studies").status == 0


@pytest.mark.usefixtures("flocks")
def test_a_clash_names_both(install: Callable[..., Path]) -> None:
    install("mmt-twin", "def greet(): ...", "greet = mmt_twin:greet")
    ended = mmt("greet")
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    herds, twin = "mmt_herds:greet of mmt-herds 1.5", "mmt_twin:greet of mmt-twin 1.5"
    assert_facts(line, "mmt greet: ", "several plugins", herds, twin, "; ", "uninstall")
    assert mmt("--help").status == 0
    assert mmt("flock", "count", "a").status == 0
