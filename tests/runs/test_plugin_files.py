"""Runs whose components come from a --plugin file: the file is asked for, and may change while it still fits."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest

import mmtoolkit
from facts import assert_facts
from mmtoolkit.base.errors import UserError
from runs import Ended, assert_refused, mmt

PLUGIN = """\
from typing import ClassVar, Literal

from torch import nn

from mmtoolkit import Architecture, Classes, Form, Grid, hookimpl


class Narrow(Architecture):
    kind: Literal["narrow"] = "narrow"
    reads: ClassVar[tuple[type[Form], ...]] = (Classes,)
    width: int = 3

    def encoder(self, form, width, extra=0):
        return nn.Sequential(nn.Embedding(form.count, self.width), nn.SiLU(), nn.Linear(self.width, width))

    def raw(self, form, size, numbers):
        return nn.Sequential(nn.Linear(size, numbers), nn.Unflatten(1, (numbers,)))


@hookimpl
def mmt_components():
    return [Narrow]
"""
SCHEMA = """\
name: tiny
data: {kind: fashion_mini, rows: {train: 40, valid: 10, test: 10}}
modalities:
  label: {kind: label, network: {kind: narrow, width: 5}}
  again: {kind: label, column: label}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 1, batch_size: 20}
evaluate: [{kind: prediction}]
"""
COMMANDS = ("sample", "evaluate", "impute", "embed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """A folder with the plugin, the schema and a run of both."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "narrow.py").write_text(PLUGIN)
    (folder / "tiny.yaml").write_text(SCHEMA)
    (folder / "table.csv").write_text("label\nSandal\n")
    words: list[str | Path] = [
        "run",
        folder / "tiny.yaml",
        "--out",
        folder / "run",
        "--plugin",
        folder / "narrow.py",
        "--no-figures",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))  # of the tests, which find the columns prepared
        ended = mmt(*words)
    assert ended.status == 0, ended.err
    return folder


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it of the test's own, as the current folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "work"))
    return tmp_path / "work"


def used(command: str, *more: str) -> Ended:
    """A command that loads the run."""
    table = ["table.csv"] if command in ("impute", "embed") else []
    out = {"sample": ["--out", "s.csv"], "impute": ["--out", "i.csv"], "embed": ["--out", "e.csv"]}.get(command, [])
    return mmt(command, "run", *table, *out, *more)


def test_run_json_names_the_file_and_schema_yaml_the_options(trained: Path) -> None:
    (plugin,) = [p for p in json.loads((trained / "run/run.json").read_text())["plugins"] if p["checksum"]]
    assert (plugin["name"], plugin["distribution"]) == ("narrow", str(trained / "narrow.py"))
    schema = mmtoolkit.load(trained / "run", [trained / "narrow.py"]).schema
    assert schema.modalities["label"].with_options(weight=2.0).model_dump()["network"] == {"kind": "narrow", "width": 5}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_not_given_is_asked_for(command: str, work: Path, trained: Path) -> None:
    assert_refused(used(command), ("run: ", str(trained / "narrow.py"), "; ", "--plugin"))
    assert used(command, "--plugin", "narrow.py").status == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_changed_file_that_still_fits_is_a_warning(command: str, work: Path) -> None:
    (work / "narrow.py").write_text(PLUGIN.replace("nn.SiLU()", "nn.Tanh()"))
    ended = used(command, "--plugin", "narrow.py")
    assert ended.status == 0, ended.err
    (line,) = [line for line in ended.err.splitlines() if "changed" in line]
    assert_facts(line, "run: ", str(work / "narrow.py"), "changed", "SHA-256 ", ", now ", "; ", "train it again")


def test_python_warns_and_the_new_code_is_used(work: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = mmtoolkit.load("run", ["narrow.py"])
    Path("renamed").mkdir()
    Path("renamed/narrow.py").write_text(PLUGIN.replace("nn.SiLU()", "nn.Tanh()"))
    Path("narrow.py").unlink()
    with pytest.warns(UserWarning, match=r"renamed/narrow\.py changed.*train it again") as warned:
        after = mmtoolkit.load("run", ["renamed/narrow.py"])
    assert warned[0].filename == __file__
    rows = [{"label": "Sandal"}]
    assert not before.infer(rows).mean.allclose(after.infer(rows).mean)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        ('"narrow"', '"slim"', ("run/schema.yaml:", "modalities.label.network.kind: ", "no architecture", "'narrow'")),
        ("width: int", "units: int", ("run/schema.yaml:", "modalities.label.network.width: ", "unknown key", "units")),
        ("(Classes,)", "(Grid,)", ("run/schema.yaml:", "modalities.label.network: ", "classes", "mlp")),
        ("return [Narrow]", "return []", ("run/schema.yaml:", "modalities.label.network.kind: ", "'narrow'")),
        ("nn.SiLU(), ", "", ("run/weights.safetensors: ", "lacks encoders.0.network.1.", "has encoders.0.network.2.")),
        (
            "Linear(size, numbers)",
            "Linear(size, numbers, bias=False)",
            ("run/weights", "has decoders.0.", "raw.0.bias"),
        ),
        ("self.width", "2", ("run/weights.safetensors: ", "encoders.0.network.0.weight", "(10, 5)", "(10, 2)")),
    ],
)
def test_a_changed_file_that_no_longer_fits_is_an_error(old: str, new: str, facts: tuple[str, ...], work: Path) -> None:
    text = PLUGIN.replace(old, new)
    if new == "units: int":
        text = text.replace("self.width", "self.units")
    (work / "narrow.py").write_text(text)
    for command in COMMANDS:
        ended = used(command, "--plugin", "narrow.py")
        assert (ended.status, ended.out) == (2, "")
        cause, fault = ended.err.splitlines()
        assert_facts(cause, "run: ", str(work / "narrow.py"), "changed", "no longer fits", "; ", "train the run again")
        assert fault.startswith(facts[0]), fault
        assert_facts(fault, *facts)


def test_a_fault_of_another_cause_stays_as_it_is(work: Path) -> None:
    (work / "run/weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError) as raised:
        mmtoolkit.load("run", ["narrow.py"])
    assert "changed" not in str(raised.value)


def test_a_run_is_resumed_by_the_code_that_began_it(work: Path, trained: Path) -> None:
    resume = ["run", "run/schema.yaml", "--out", "run", "--resume", "--no-figures", "--set", "train.epochs=2"]
    assert_refused(mmt(*resume, "--plugin", "other.py"), ("other.py", "no such file"))
    Path("other.py").write_text(PLUGIN)  # the same contents under another name
    Path("narrow.py").write_text(PLUGIN + "# a comment\n")
    refused = mmt(*resume, "--plugin", "narrow.py")
    assert_refused(refused, ("run: ", "resume", str(work / "narrow.py"), "changed", "; ", "--out FOLDER"))
    assert len((work / "run/history.jsonl").read_text().splitlines()) == 1
    assert mmt(*resume, "--plugin", "other.py").status == 0
    assert len((work / "run/history.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("command", ["report", "compare"])
def test_what_only_reads_files_needs_no_plugin(command: str, work: Path) -> None:
    (work / "narrow.py").unlink()
    assert mmt(command, "run").status == 0
