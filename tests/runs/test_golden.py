"""Runs that earlier releases wrote load and give the numbers that those gave. golden/make.py wrote them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import mmtoolkit
from mmtoolkit.runs.folder import read_declared
from outputs import WEIGHTS, differences, golden_folders, outputs, read_json, unpack

FOLDERS = golden_folders()
# (kind, option) -> the values of it that golden runs must have: all that change what a component of 0.1 computes.
MODELS: dict[tuple[str, str], set[Any]] = {
    ("mvae", "banks"): {True, False},
    ("vae", "modality"): {"photo"},
    ("cvae", "target"): {"photo", "title", "sort", "price", "size", "ripe", "traits"},
    ("bivcca", "latent_dim"): {3},
    ("jmvae", "width"): {16},
}
MODALITIES: dict[tuple[str, str], set[Any]] = {
    ("image", "network"): {"mlp", "dcgan"},
    ("image", "likelihood"): {"bernoulli", "gaussian", "laplace"},
    ("image", "binarize"): {"none", "static", "dynamic"},
    ("image", "resize"): {"crop", "stretch", "error"},
    ("image", "scale"): {None, 0.5},
    ("numeric", "likelihood"): {"gaussian", "student_t"},
    ("text", "tokens"): {"characters", "words"},
    ("text", "feedback"): {"teacher", "argmax"},
    ("text", "state"): {"last", "last_position"},
    ("text", "unknown"): {True, None},
    ("label", "weight"): {1.0},
    ("binary", "weight"): {1.0, 3.0},
    ("attributes", "weight"): {1.0},
}


# What 0.2 has besides: option -> its kinds, in a modality or a model.
OF_0_2: dict[str, set[str]] = {
    "kind of model": {
        *("barycentre", "cmvae", "crmvae", "dmvae", "gpoe", "helvae", "holder", "mcvae", "mmjsd", "mmvae"),
        *("mmvaeplus", "mmvm", "mopoe", "mvae", "mvtcae"),
    },
    "kind of modality": {"count", "date", "image", "label", "numeric", "ordinal", "record", "series", "text", "time"},
    "prior": {"flow", "laplace", "mixture", "normal", "student_t"},
    "network": {"conv", "gru", "mlp", "resnet", "transformer"},
    "likelihood": {
        *("bernoulli", "categorical", "continuous_bernoulli", "gaussian", "laplace", "lognormal"),
        *("negative_binomial", "ordinal", "poisson", "student_t", "von_mises"),
    },
}


def _by_release(release: str) -> list[Path]:
    return [folder for folder in FOLDERS if read_json(folder / "run.json")["versions"]["mmtoolkit"] == release]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_golden_run_gives_the_numbers_that_it_gave(folder: Path, tmp_path: Path) -> None:
    run = mmtoolkit.load(unpack(folder, tmp_path))
    expected = read_json(folder / "expected.json")

    lines = list(differences(expected["answers"], outputs(run, expected["questions"])))

    assert not lines, "\n".join(lines[:10])
    assert run.results == read_json(folder / "results.json")
    assert [line["epoch"] for line in run.history] == [1, 2]
    report = mmtoolkit.write_report(run.folder)  # it reads all other files of the folder
    assert folder.name in report.read_text(encoding="utf-8")


def test_golden_runs_cover_what_0_1_0_had() -> None:
    schemas = [read_declared(folder) for folder in _by_release("0.1.0")]  # as 0.1.0 wrote them
    models = [schema["model"] for schema in schemas]
    modalities = [modality for schema in schemas for modality in schema["modalities"].values()]

    for components, required in ((models, MODELS), (modalities, MODALITIES)):
        assert {component["kind"] for component in components} == {kind for kind, _ in required}
        for (kind, option), values in required.items():
            assert {one[option] for one in components if one["kind"] == kind} >= values, (kind, option)
    numeric = [m for m in modalities if m["kind"] == "numeric"]
    for option in ("columns", "scale"):  # one number and several; the scale learned and given
        both = set(product(("gaussian", "student_t"), (True, False)))
        assert {(m["likelihood"], m[option] is None) for m in numeric} == both, option


def test_golden_runs_cover_what_0_2_0_had() -> None:
    schemas = [read_declared(folder) for folder in _by_release("0.2.0")]
    modalities = [modality for schema in schemas for modality in schema["modalities"].values()]

    assert {schema["model"]["kind"] for schema in schemas} == OF_0_2["kind of model"]
    assert {modality["kind"] for modality in modalities} == OF_0_2["kind of modality"]
    assert {schema["model"]["prior"]["kind"] for schema in schemas if "prior" in schema["model"]} == OF_0_2["prior"]
    for option in ("network", "likelihood"):
        assert {modality[option]["kind"] for modality in modalities if option in modality} == OF_0_2[option], option


def test_a_golden_run_shows_weights_that_are_a_hundredth_off(tmp_path: Path) -> None:
    folder = next(folder for folder in FOLDERS if folder.name == "bivcca")
    run_folder = unpack(folder, tmp_path)
    weights = load_file(run_folder / WEIGHTS)
    name = max(weights)
    save_file({**weights, name: weights[name] * 1.01}, run_folder / WEIGHTS)
    expected = read_json(folder / "expected.json")

    run = mmtoolkit.load(run_folder)

    assert list(differences(expected["answers"], outputs(run, expected["questions"])))


def test_golden_runs_name_no_folder_of_the_machine_that_made_them() -> None:
    for folder in FOLDERS:
        for path in [*folder.glob("*.json*"), *folder.glob("*.yaml")]:
            assert not any(place in path.read_text() for place in ("/tmp", "/work", "/home", "/root")), path
