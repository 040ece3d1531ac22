"""plugins/mmt-counts, the worked example: installed as a stranger's plugin, in an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from environments import Environment, environment
from mmtoolkit.base.errors import UserError
from mmtoolkit.schema.schema import read_schema
from runs import mmt, sets

PROJECT = Path(__file__).parents[2] / "plugins" / "mmt-counts"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("counts") / "mmt-counts"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*"))
    return folder


@pytest.fixture(scope="module")
def installed(project: Path) -> Environment:
    made = environment(project.parent / "environment")
    made.install(project)
    return made


def test_it_is_no_part_of_ours() -> None:
    assert importlib.util.find_spec("mmt_counts") is None


def test_without_it_a_schema_says_how_to_install_it() -> None:
    with pytest.raises(UserError) as raised:
        read_schema(PROJECT / "example.yaml")
    assert raised.value.faults == [
        f"{PROJECT / 'example.yaml'}:6: modalities.birds.kind: there is no modality of kind 'counts'; "
        "mmt-counts offers it: `pip install ./plugins/mmt-counts` in a clone of mmtoolkit"
    ]


@pytest.mark.slow
def test_it_is_found_once_it_is_installed(installed: Environment, tmp_path: Path) -> None:
    done = installed.ran("-m", "mmtoolkit", "plugins", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["broken"] == []
    rows = [row for row in found["components"] if row["distribution"] == "mmt-counts"]
    assert {(row["family"], row["kind"], row["class"]) for row in rows} == {
        ("modality", "counts", "mmt_counts.Counts"),
        ("likelihood", "zero_inflated_poisson", "mmt_counts.ZeroInflatedPoissonLikelihood"),
    }


@pytest.mark.slow
def test_its_own_tests_pass(installed: Environment, project: Path) -> None:
    done = installed.ran("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
def test_it_trains_on_its_example(tmp_path: Path) -> None:
    few = sets("train.epochs=3", "train.warmup_epochs=1")
    plugin = ("--plugin", PROJECT / "mmt_counts.py")
    done = mmt("run", *plugin, PROJECT / "example.yaml", "--out", tmp_path / "run", *few, "--json")
    assert done.status == 0, done.err
    scores = {score["kind"]: score["results"] for score in json.loads(done.out)["scores"]}
    assert any(result["metric"] == "absolute_error" for result in scores["prediction"])
    assert all(result["value"] < 0 for result in scores["elbo"])
    out = tmp_path / "marsh.csv"
    sampled = mmt("sample", *plugin, tmp_path / "run", "--given", "habitat=marsh", "-n", "4", "--out", out)
    assert sampled.status == 0, sampled.err
    rows = out.read_text().splitlines()
    assert rows[0] == "habitat,heron,lark"
    cells = [row.split(",") for row in rows[1:]]
    assert len(cells) == 4
    assert all(habitat == "marsh" and heron.isdigit() and lark.isdigit() for habitat, heron, lark in cells)
