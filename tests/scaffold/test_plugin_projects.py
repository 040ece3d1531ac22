"""`mmt plugins new`: a project that installs, passes its own tests and trains as it is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from environments import environment
from mmtoolkit.base.yaml12 import read_yaml
from runs import mmt


def refused(*arguments: str | Path) -> str:
    done = mmt("plugins", "new", *arguments)
    assert (done.status, done.out) == (2, ""), done.err
    (line,) = done.err.splitlines()
    return line


@pytest.mark.slow
def test_it_works_from_start_to_finish(tmp_path: Path) -> None:
    folder = tmp_path / "mmt-rainfall"
    made = mmt("plugins", "new", "mmt-rainfall", folder)
    assert made.status == 0, made.err
    assert made.out.splitlines() == [
        f"{folder} holds the plugin; next:",
        f"  pip install -e {folder}",
        f"  pytest {folder}",
        "  mmt plugins check mmt-rainfall",
        f"  mmt run {folder}/example.yaml --out runs/mmt-rainfall",
    ]
    here = environment(tmp_path / "environment")
    here.install(folder, "-e")

    tested = here.ran("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout

    few = ("--set", "train.epochs=4", "--set", "train.warmup_epochs=1")
    ran = here.ran("-m", "mmtoolkit", "run", folder / "example.yaml", "--out", "run", *few, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"]


def test_names_follow_from_the_name(tmp_path: Path) -> None:
    assert mmt("plugins", "new", "Heart.Rate-x", tmp_path / "a").status == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        ".gitignore",
        "README.md",
        "example.csv",
        "example.yaml",
        "heart_rate_x.py",
        "pyproject.toml",
        "tests",
    ]
    project = tomllib.loads((tmp_path / "a" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "Heart.Rate-x"
    assert project["project"]["entry-points"]["mmtoolkit"] == {"heart_rate_x": "heart_rate_x"}
    schema = read_yaml((tmp_path / "a" / "example.yaml").read_text(), "example.yaml").data
    assert schema["modalities"]["birds"]["kind"] == "heart_rate_x"
    assert "class HeartRateX(NumberModality):" in (tmp_path / "a" / "heart_rate_x.py").read_text()


def test_the_default_folder_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mmt("plugins", "new", "rainfall").status == 0
    assert (tmp_path / "rainfall" / "rainfall.py").is_file()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("3d", "is no name for a plugin; begin with a letter and go on with letters, digits and -, as mmt-rainfall"),
        ("a b", "is no name for a plugin; begin with"),
        ("../x", "is no name for a plugin; begin with"),
        ("ü", "is no name for a plugin; begin with"),
        ("mmt-", "is no name for a plugin; begin with"),
        ("mmt-3d", "is no name for a plugin; begin with"),
        ("class", "means something else in Python; choose another name, such as mmt-class-values"),
        ("mmt-tensor", "means something else in Python; choose another name, such as mmt-tensor-values"),
        ("label", "the kind 'label' is there already, from mmtoolkit; choose another name"),
        ("mmt-image", "the kind 'image' is there already, from mmtoolkit; choose another name"),
        ("json", "a module json is there already; choose another name, such as mmt-json-values"),
        ("mmt-registry", "a module mmt_registry is there already; choose another name"),
        ("Numpy", "a module numpy is there already; choose another name, such as mmt-numpy-values"),
        ("ruamel.yaml", "ruamel.yaml "),
    ],
)
def test_names_that_cannot_be_used(name: str, fault: str, tmp_path: Path) -> None:
    line = refused(name, tmp_path / "new")
    assert line.startswith(f"{name}: {fault}")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    line = refused("rainfall", tmp_path)
    assert line == f"{tmp_path}: is there already; name another folder, as `mmt plugins new rainfall DIR`"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "new"
    assert refused("rainfall", folder) == (
        f"{folder}: cannot be written: Not a directory; make it writable, or write elsewhere"
    )


# mmt plugins check.

BROKEN = """\
from typing import Literal

import torch
from torch import distributions, nn

from mmtoolkit import Modality, hookimpl


class Reading(Modality):
    kind: Literal["reading"] = "reading"

    def event_shape(self):
        return ()

    def parse(self, cell):
        return torch.tensor(float(cell))

    def example_cells(self):
        return [1.0, 2.0, 3.5]

    def encoder(self, width, extra=0):
        return Encoder(width, extra)

    def decoder(self, size):
        return Decoder(size)


class Encoder(nn.Linear):
    def __init__(self, width, extra):
        super().__init__(1 + extra, width)

    def forward(self, x, c=None):
        x = x.to(self.weight).unsqueeze(1)
        return super().forward(x if c is None else torch.cat([x, c], 1))


class Decoder(nn.Linear):
    def __init__(self, size):
        super().__init__(size, 1)

    def forward(self, z):
        return distributions.Normal(super().forward(z).squeeze(1), 1.0, validate_args=False)


@hookimpl
def mmt_components():
    return [Reading]
"""


def test_check_tells_each_promise(tmp_path: Path) -> None:
    file = tmp_path / "reading.py"
    file.write_text(BROKEN)
    done = mmt("plugins", "check", "--plugin", file)
    lines = done.out.splitlines()
    assert lines[0].startswith("modality reading (mmt_plugin_reading_")
    broken = [line.strip() for line in lines if line.startswith("  BROKEN")]
    assert len([line for line in lines if line.startswith("  kept")]) > 15
    assert broken == ["BROKEN  A bad cell is told by its row, never raised, and costs no other row"]
    (told,) = [line.strip() for line in lines if line.startswith("   ")]
    assert told.startswith("parse_column: tells a bad cell by its row, but OverflowError was raised for 1000000")
    assert done.status == 2
    assert done.err == "the plugin: 1 promise is broken; mend what the lines say, and check again\n"


@pytest.mark.parametrize("words", [["FILE"], ["FILE", "--json"], ["--plugin", "FILE"], ["--plugin", "FILE", "FILE"]])
def test_check_of_a_file(words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "reading.py"
    file.write_text(BROKEN)
    done = mmt("plugins", "check", *(word.replace("FILE", str(file)) for word in words))
    assert "modality reading (" in done.out or json.loads(done.out)[0]["kind"] == "reading"
    assert done.status == 2
    assert done.err.endswith(": 1 promise is broken; mend what the lines say, and check again\n")


def test_check_of_a_file_is_of_that_file_alone(tmp_path: Path) -> None:
    file, other = tmp_path / "reading.py", tmp_path / "other.py"
    file.write_text(BROKEN)
    other.write_text(BROKEN.replace("Reading", "Other").replace('"reading"', '"other"'))
    done = mmt("plugins", "check", "--plugin", other, file)
    assert "modality reading (" in done.out
    assert "modality other (" not in done.out


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_check_of_a_plugin_without_components(json_: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text(BROKEN.replace("return [Reading]", "return []"))
    for words in ([file], ["--plugin", file]):
        done = mmt("plugins", "check", *words, *json_)
        assert done.status == 2
        assert done.err == f"{file}: adds no component; return your classes from its mmt_components\n"


def test_check_of_an_installed_plugin_without_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mmt_empty.py").write_text(BROKEN.replace("return [Reading]", "return []"))
    info = tmp_path / "mmt_empty-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmt-empty\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[mmtoolkit]\nempty = mmt_empty\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mmt-empty", "empty"):
        done = mmt("plugins", "check", name)
        assert done.status == 2
        assert (
            done.err
            == "plugin empty of mmt-empty 1.5: adds no component; return your classes from its mmt_components\n"
        )


def test_check_by_plugin_distribution_and_kind() -> None:
    elbo = json.loads(mmt("plugins", "check", "elbo", "--json").out)
    assert [(trial["family"], trial["kind"]) for trial in elbo] == [("evaluator", "elbo")]
    assert elbo[0]["promises"]
    assert not any(promise["faults"] for promise in elbo[0]["promises"])
    (mnist,) = json.loads(mmt("plugins", "check", "mnist", "--json").out)
    assert mnist["promises"] == []
    assert mnist["untried"].startswith("the data set mnist is not on this machine")
    done = mmt("plugins", "check", "celeba")
    assert (done.status, done.err) == (0, "")
    assert "  not tried: the data set celeba is not on this machine" in done.out


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "mmt plugins check: name a plugin, a kind or a plugin's file, such as my_modality.py"),
        (
            ["binery"],
            "binery: is no plugin, distribution or kind that is installed; did you mean 'binary'?; the plugins",
        ),
        (["none.py"], "none.py: there is no such file; give the path of a Python file"),
        (["tests/none.py"], "tests/none.py: there is no such file; give the path of a Python file"),
        ([str(Path(__file__).parent)], f"{Path(__file__).parent}: is a folder; give "),
    ],
)
def test_check_of_what_is_not_there(words: list[str], fault: str) -> None:
    done = mmt("plugins", "check", *words)
    assert done.status == 2
    assert done.err.startswith(fault)
