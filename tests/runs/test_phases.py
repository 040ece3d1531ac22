"""A run in phases: what stands after each, and what a run that stops in one of them leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmtoolkit
from facts import assert_facts
from mmtoolkit import Picture
from mmtoolkit.runs import pictures, results
from mmtoolkit.runs.folder import read_pictures
from mmtoolkit.runs.report import report_of
from runs import SMALL, mmt

TINY = [*SMALL, "data.rows={train: 60, valid: 20, test: 20}", "evaluate=[{kind: elbo}]"]


def finished(folder: Path) -> str | None:
    time: str | None = json.loads((folder / "run.json").read_text())["times"]["finished"]
    return time


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))
        folder = tmp_path_factory.mktemp("phases") / "run"
        mmtoolkit.run(mmtoolkit.read_schema("fashion_mini", TINY), folder)
        return folder


@pytest.mark.slow
def test_python_gets_pictures_and_report(run_folder: Path) -> None:
    files = {path.name for path in (run_folder / "figures").iterdir()}
    assert {"samples.png", "learning_curves.png", "latent.png", "cells.png", "from_all.png"} <= files
    assert (run_folder / "report.html").exists()
    assert finished(run_folder)


def test_execute_is_the_name_of_0_1() -> None:
    assert mmtoolkit.execute is mmtoolkit.run


@pytest.mark.slow
def test_figures_json_lists_every_picture(run_folder: Path) -> None:
    entries = json.loads((run_folder / "figures.json").read_text())["pictures"]
    assert {entry["file"] for entry in entries} == {path.name for path in (run_folder / "figures").iterdir()}
    titles = {entry["file"]: entry["title"] for entry in entries}
    assert titles["samples.png"] == "Samples from the prior"
    assert titles["given_1_label.png"] == "Samples given label"
    assert all(entry["evaluator"] is None for entry in entries)


def test_the_report_says_what_figures_json_says(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    listed = json.loads((copy / "figures.json").read_text())
    listed["pictures"][-1] |= {"title": "Another title", "text": "Look at the <corner>."}
    (copy / "figures.json").write_text(json.dumps(listed))
    html = mmtoolkit.write_report(copy).read_text()
    assert "<h2>Another title</h2>" in html
    assert "Look at the &lt;corner&gt;." in html
    listed["pictures"][-1]["file"] = "../elsewhere.png"
    (copy / "figures.json").write_text(json.dumps(listed))
    with pytest.raises(mmtoolkit.UserError, match=r"figures\.json: is damaged: pictures\.\d+\.file"):
        mmtoolkit.write_report(copy)
    (copy / "figures.json").write_text('{"pictures": [{"file": 3}]}')
    ended = mmt("report", copy)
    assert ended.status == 2
    assert_facts(ended.err, "figures.json: ", "damaged", "pictures.0.file", "--resume")


def test_pictures_of_a_run_of_0_1_have_their_names(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    (copy / "figures.json").unlink()
    assert {"file": "from_all.png", "name": "from_all", "title": "from all", "text": "", "evaluator": None} in (
        read_pictures(copy)
    )
    assert "<h2>from all</h2>" in mmtoolkit.write_report(copy).read_text()


@pytest.mark.slow
def test_a_crash_in_a_picture_leaves_a_run_that_resume_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, folder = mmtoolkit.read_schema("fashion_mini", TINY), tmp_path / "run"

    def breaks(*arguments: object) -> None:
        raise ZeroDivisionError("a picture broke")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "latent_space", breaks)
        with pytest.raises(ZeroDivisionError):
            mmtoolkit.run(schema, folder)
    assert finished(folder) is None
    weights = (folder / "weights.safetensors").read_bytes()
    with pytest.raises(mmtoolkit.UserError, match="is not finished"):
        mmtoolkit.load(folder)
    lines: list[str] = []
    mmtoolkit.run(schema, folder, resume=True, say=lines.append)
    assert finished(folder)
    assert (folder / "weights.safetensors").read_bytes() == weights
    assert any("after epoch 2, step 0" in line for line in lines)
    assert (folder / "figures" / "latent.png").exists()


def test_finished_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    times: list[str | None] = []

    def report(of: Path) -> Path:
        times.append(finished(of))
        return report_of(of)

    monkeypatch.setattr(results, "report_of", report)
    mmtoolkit.run(mmtoolkit.read_schema("fashion_mini", TINY), folder, figures=False)
    assert times == [None]
    assert finished(folder)
    assert not (folder / "figures").exists()
    assert json.loads((folder / "figures.json").read_text()) == {"pictures": []}


def test_no_figures_on_the_command_line(run_folder: Path, tmp_path: Path) -> None:
    ended = mmt("run", run_folder / "schema.yaml", "--out", tmp_path / "run", "--no-figures")
    assert ended.status == 0
    assert not (tmp_path / "run" / "figures").exists()
    assert (tmp_path / "run" / "report.html").exists()
    assert "pictures" not in ended.out


@pytest.mark.slow
def test_loading_changes_nothing_global(run_folder: Path) -> None:
    code = f"""
import mmtoolkit, torch
def state():
    matmul = torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    threads = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    return torch.get_float32_matmul_precision(), matmul, threads, torch.get_default_dtype()
before, random = state(), torch.get_rng_state()
run = mmtoolkit.load({str(run_folder)!r})
run.infer([{{"label": "Sandal"}}])
assert state() == before, (state(), before)
assert torch.equal(torch.get_rng_state(), random)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_running_leaves_pytorch_as_it_was(run_folder: Path, tmp_path: Path) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    mmtoolkit.run(mmtoolkit.read_schema(run_folder / "schema.yaml"), tmp_path / "run", figures=False)
    after = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    assert after == before


def test_a_picture_without_a_text_has_its_name_for_a_title() -> None:
    scores = mmtoolkit.Scores([], figures={"a map": None})  # type: ignore[dict-item]
    (picture,) = scores.pictures
    assert (picture.name, picture.title, picture.text) == ("a map", "a map", "")
    listed = mmtoolkit.Scores([], figures=[Picture("map", "A map", "Where it is.", None)])  # type: ignore[arg-type]
    assert listed.pictures[0].title == "A map"
