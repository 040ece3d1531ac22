"""`mmt plugins new`: a project that installs, passes its own tests and trains as it is."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

import mmtoolkit
from environments import environment
from facts import assert_facts
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components import FAMILIES as COMPONENT_FAMILIES
from runs import mmt

PLUGIN = Path(mmtoolkit.__file__).parent / "scaffold" / "plugin"


def refused(*arguments: str | Path) -> str:
    ended = mmt("plugins", "new", *arguments)
    assert (ended.status, ended.out) == (2, ""), ended.err
    (line,) = ended.err.splitlines()
    return line


FAMILIES = [family.family for family in COMPONENT_FAMILIES]
BASES = {family.family: family.__name__ for family in COMPONENT_FAMILIES} | {"modality": "NumberModality, Parted"}
OF_FAMILY = {"evaluator": "EntryEvaluator[Entry]"}


def project(family: str, folder: Path, name: str = "mmt-rainfall") -> Path:
    """The folder of a new project."""
    written = mmt("plugins", "new", name, folder / name, f"--{family}")
    assert written.status == 0, written.err
    return folder / name


def test_each_family_has_a_flag_and_its_templates() -> None:
    shown = mmt("plugins", "new", "--help").out
    assert set(re.findall(r"--(\w+)", shown)) - {"help", "plugin"} == set(FAMILIES)
    folders = [path for path in PLUGIN.iterdir() if path.is_dir()]
    assert sorted(path.name for path in folders) == sorted(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_project_says_what_it_is(family: str, tmp_path: Path) -> None:
    folder = project(family, tmp_path)
    module = ast.parse((folder / "mmt_rainfall.py").read_text())
    (cls,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Rainfall")
    assert ", ".join(map(ast.unparse, cls.bases)) == OF_FAMILY.get(family, BASES[family])
    test = (folder / "tests" / "test_mmt_rainfall.py").read_text()
    assert f"check_{family}(" in test
    assert f"the {family} `rainfall`" in (folder / "README.md").read_text()
    assert f"The {family} rainfall" in (folder / "pyproject.toml").read_text()
    assert "rainfall" in str(read_yaml((folder / "example.yaml").read_text(), "example.yaml").data)
    for path in folder.rglob("*"):
        assert path.is_dir() or not re.search(r"\{[{%#]|[}%#]\}\}", path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_project_passes_the_check_and_its_example_is_right(family: str, tmp_path: Path) -> None:
    folder = project(family, tmp_path)
    plugin = ("--plugin", folder / "mmt_rainfall.py")
    checked = mmt("plugins", "check", folder / "mmt_rainfall.py", "--json")
    assert checked.status == 0, checked.err + checked.out
    trials = json.loads(checked.out)
    assert trials
    assert all(trial["promises"] for trial in trials)
    assert {(trial["family"], trial["kind"]) for trial in trials} == {(family, "rainfall")}
    step = mmt("check", *plugin, folder / "example.yaml")
    assert step.status == 0, step.err


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_works_from_start_to_finish(family: str, tmp_path: Path) -> None:
    folder = tmp_path / "mmt-rainfall"
    written = mmt("plugins", "new", "mmt-rainfall", folder, f"--{family}")
    assert written.status == 0, written.err
    head, *commands = written.out.splitlines()
    assert str(folder) in head
    assert commands == [
        f"  pip install -e {folder}",
        f"  pytest {folder}",
        "  mmt plugins check mmt-rainfall",
        f"  mmt run {folder}/example.yaml --out runs/mmt-rainfall",
    ]
    here = environment(tmp_path / "environment")
    here.install(folder, "-e")

    tested = here.ran("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert tested.returncode == 0, tested.stdout
    checked = here.ran("-m", "mmtoolkit", "plugins", "check", "mmt-rainfall", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout

    few = ("--set", "train.epochs=4", "--set", "train.warmup_epochs=1")
    ran = here.ran("-m", "mmtoolkit", "run", folder / "example.yaml", "--out", "run", *few, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"]
    if family == "watcher":
        lines = (tmp_path / "run" / "progress.txt").read_text().splitlines()
        assert [line.split("  ")[0] for line in lines[1:]] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4", "done"]


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
    assert "class HeartRateX(NumberModality, Parted):" in (tmp_path / "a" / "heart_rate_x.py").read_text()


def test_a_project_has_one_family(tmp_path: Path) -> None:
    line = refused("rainfall", tmp_path / "new", "--prior", "--model")
    assert_facts(line, "--prior and --model", "one of them")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("architecture", "mlp"),
        ("likelihood", "laplace"),
        ("prior", "laplace"),
        ("model", "jmvae"),
        ("source", "celeba"),
        ("evaluator", "elbo"),
    ],
)
def test_a_kind_is_taken_in_its_family_alone(family: str, kind: str, tmp_path: Path) -> None:
    line = refused(f"mmt-{kind}", tmp_path / "new", f"--{family}")
    assert_facts(line, f"{family} '{kind}'", "mmtoolkit", "another name")
    assert mmt("plugins", "new", f"mmt-{kind}", tmp_path / "new", "--modality").status == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_class_has_no_name_that_its_module_imports(family: str, tmp_path: Path) -> None:
    assert_facts(refused("mmt-component", tmp_path / "new", f"--{family}"), "Python", "mmt-my-component")


def test_the_default_folder_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mmt("plugins", "new", "rainfall").status == 0
    assert (tmp_path / "rainfall" / "rainfall.py").is_file()


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("3d", ("not a valid name", "letter", "mmt-rainfall")),
        ("a b", ("not a valid name", "mmt-rainfall")),
        ("../x", ("not a valid name", "mmt-rainfall")),
        ("ü", ("not a valid name", "mmt-rainfall")),
        ("mmt-", ("not a valid name", "mmt-rainfall")),
        ("mmt-3d", ("not a valid name", "mmt-rainfall")),
        ("class", ("Python", "another name", "mmt-my-class")),
        ("mmt-tensor", ("Python", "another name", "mmt-my-tensor")),
        ("label", ("modality 'label'", "mmtoolkit", "another name")),
        ("mmt-image", ("modality 'image'", "mmtoolkit", "another name")),
        ("json", ("module json", "another name", "mmt-my-json")),
        ("mmt-registry", ("module mmt_registry", "another name")),
        ("Numpy", ("module numpy", "another name", "mmt-my-numpy")),
        ("ruamel.yaml", ("ruamel.yaml ", "installed", "another name")),
    ],
)
def test_names_that_cannot_be_used(name: str, facts: tuple[str, ...], tmp_path: Path) -> None:
    line = refused(name, tmp_path / "new")
    assert line.startswith(f"{name}: ")
    assert_facts(line.removeprefix(f"{name}: "), *facts)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    line = refused("rainfall", tmp_path)
    assert_facts(line, f"{tmp_path}: ", "exists", "`mmt plugins new rainfall DIR`")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "new"
    assert_facts(refused("rainfall", folder), f"{folder}: ", "cannot be written", "Not a directory", "writable")


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


def test_check_lists_each_promise(tmp_path: Path) -> None:
    file = tmp_path / "reading.py"
    file.write_text(BROKEN)
    ended = mmt("plugins", "check", "--plugin", file)
    lines = ended.out.splitlines()
    assert lines[0].startswith("modality reading (mmt_plugin_reading_")
    broken = [line.strip() for line in lines if line.startswith("  BROKEN")]
    assert len([line for line in lines if line.startswith("  kept")]) > 15
    (promise,) = broken
    assert_facts(promise, "bad cell", "row")
    (fault,) = [line.strip() for line in lines if line.startswith("   ")]
    assert_facts(fault, "parse_column: ", "bad cell", "OverflowError", "1000000")
    assert ended.status == 2
    assert_facts(ended.err, "1 promise", "broken", "mend", "check again")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["FILE"], ["FILE", "--json"], ["--plugin", "FILE"], ["--plugin", "FILE", "FILE"]])
def test_check_of_a_file(words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "reading.py"
    file.write_text(BROKEN)
    ended = mmt("plugins", "check", *(word.replace("FILE", str(file)) for word in words))
    assert "modality reading (" in ended.out or json.loads(ended.out)[0]["kind"] == "reading"
    assert ended.status == 2
    assert_facts(ended.err, "1 promise", "broken", "mend", "check again")


def test_check_of_a_file_is_of_that_file_alone(tmp_path: Path) -> None:
    file, other = tmp_path / "reading.py", tmp_path / "other.py"
    file.write_text(BROKEN)
    other.write_text(BROKEN.replace("Reading", "Other").replace('"reading"', '"other"'))
    ended = mmt("plugins", "check", "--plugin", other, file)
    assert "modality reading (" in ended.out
    assert "modality other (" not in ended.out


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_check_of_a_plugin_without_components(json_: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "empty.py"
    file.write_text(BROKEN.replace("return [Reading]", "return []"))
    for words in ([file], ["--plugin", file]):
        ended = mmt("plugins", "check", *words, *json_)
        assert ended.status == 2
        assert_facts(ended.err, f"{file}: ", "no component", "mmt_components")


def test_check_of_an_installed_plugin_without_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mmt_empty.py").write_text(BROKEN.replace("return [Reading]", "return []"))
    info = tmp_path / "mmt_empty-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmt-empty\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[mmtoolkit]\nempty = mmt_empty\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mmt-empty", "empty"):
        ended = mmt("plugins", "check", name)
        assert ended.status == 2
        assert_facts(ended.err, "empty", "mmt-empty 1.5: ", "no component", "mmt_components")


def test_check_by_plugin_distribution_and_kind() -> None:
    elbo = json.loads(mmt("plugins", "check", "elbo", "--json").out)
    assert [(trial["family"], trial["kind"]) for trial in elbo] == [("evaluator", "elbo")]
    assert elbo[0]["promises"]
    assert not any(promise["faults"] for promise in elbo[0]["promises"])
    (mnist,) = json.loads(mmt("plugins", "check", "mnist", "--json").out)
    assert mnist["promises"] == []
    assert_facts(mnist["untried"], "mnist", "not on this machine")
    ended = mmt("plugins", "check", "celeba")
    assert (ended.status, ended.err) == (0, "")
    assert_facts(ended.out, "celeba", "not on this machine")


@pytest.mark.parametrize(
    ("words", "place", "facts"),
    [
        ([], "mmt plugins check", ("plugin", "kind", "file", "my_modality.py")),
        (["binery"], "binery", ("no plugin, distribution or kind", "did you mean 'binary'?", "the plugins")),
        (["none.py"], "none.py", ("no such file", "path")),
        (["tests/none.py"], "tests/none.py", ("no such file", "path")),
        ([str(Path(__file__).parent)], str(Path(__file__).parent), ("is a folder", "give")),
    ],
)
def test_check_of_unknown_names_and_files(words: list[str], place: str, facts: tuple[str, ...]) -> None:
    ended = mmt("plugins", "check", *words)
    assert ended.status == 2
    assert ended.err.startswith(f"{place}: ")
    assert_facts(ended.err, *facts)
