"""Commands of plugins: the entry-point group `mmtoolkit.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
    done = mmt("flock", "count", "runs/a", "--twice")
    assert (done.status, done.out) == (0, "runs/a 2\n")
    assert "Things to do with flocks." in mmt("flock", "--help").out
    assert mmt("greet", "--name", "Ada").out == "hello Ada\n"
    assert "Say hello." in mmt("greet", "-h").out


@pytest.mark.usefixtures("flocks")
def test_a_command_is_told_of_plugin_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.touch()
    assert mmt("greet", "--plugin", file).out == f"hello you {file}\n"


@pytest.mark.usefixtures("flocks")
def test_what_a_user_can_mend_ends_with_status_2_and_a_line() -> None:
    done = mmt("flock", "fail")
    assert (done.status, done.out, done.err) == (2, "", "flock.csv: is empty; give it rows\n")


def test_help_lists_commands_without_importing_them(flocks: Path) -> None:
    (flocks / "mmt_herds.py").write_text("raise SystemExit('imported')")
    done = mmt_process("--help", PYTHONPATH=str(flocks))
    assert (done.status, done.err) == (0, "")
    shown = [line for line in done.out.splitlines() if "From the plugin mmt-herds 1.5." in line]
    assert [line.split()[1] for line in shown] == ["flock", "greet", "none"]


def test_ours_come_first_and_load_nothing(install: Callable[..., Path]) -> None:
    site = install("mmt-thief", "raise SystemExit('imported')", "schema = mmt_thief:x", "check = mmt_thief:x")
    done = mmt_process("schema", PYTHONPATH=str(site))
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("{")
    assert "mmt-thief" not in mmt_process("--help", PYTHONPATH=str(site)).out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("y = 1", "AttributeError: module 'mmt_bad' has no attribute 'x'"),
        ("x = 1", "TypeError: mmt_bad:x is int, neither a typer.Typer nor a function"),
        ("import typer; x = typer.Typer()", "RuntimeError: Could not get a command for this Typer instance"),
    ],
)
@pytest.mark.usefixtures("flocks")
def test_a_broken_command_is_one_line_and_the_others_work(text: str, said: str, install: Callable[..., Path]) -> None:
    install("mmt-bad", text, "bad = mmt_bad:x")
    done = mmt("bad")
    (line,) = done.err.splitlines()
    assert done.status == 2
    assert line.startswith(f"mmt bad: the command of mmt-bad 1.5 does not work: {said}")
    assert line.endswith("; mend or uninstall mmt-bad")
    assert mmt("greet").status == 0
    assert mmt("list", "studies").status == 0


@pytest.mark.usefixtures("flocks")
def test_a_clash_names_both(install: Callable[..., Path]) -> None:
    install("mmt-twin", "def greet(): ...", "greet = mmt_twin:greet")
    done = mmt("greet")
    assert (done.status, done.err) == (
        2,
        "mmt greet: several plugins have this command, mmt_herds:greet of mmt-herds 1.5 and mmt_twin:greet of "
        "mmt-twin 1.5; uninstall all but one\n",
    )
    assert mmt("--help").status == 0
    assert mmt("flock", "count", "a").status == 0
