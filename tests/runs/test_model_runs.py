"""Runs of VAE, CVAE, BiVCCA and JMVAE: scores, figures and samples that each can give, and lines for what it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

import mmtoolkit
from facts import assert_facts
from mmtoolkit.data.dataset import prepare
from mmtoolkit.figures import direction
from mmtoolkit.training.networks import build, unused_rows
from runs import SMALL, Ended, mmt, sets

pytestmark = pytest.mark.slow

KINDS = ("vae", "cvae", "bivcca", "jmvae")
EVERY = pytest.mark.parametrize("kind", KINDS)
# Enough of each split, and no more: what is learned is not looked at.
TINY = [*SMALL, "data.rows={train: 60, valid: 20, test: 30}", "train.epochs=1", "train.batch_size=30"]


@dataclass
class Small:
    """A finished small run."""

    folder: Path
    ended: Ended

    @property
    def results(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        return results


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Small]:
    """A run of each kind, trained when a test first asks for it."""
    runs: dict[str, Small] = {}

    def of(kind: str) -> Small:
        if kind not in runs:
            folder = tmp_path_factory.mktemp("runs") / kind
            ended = mmt("run", "fashion_mini", *sets(*TINY, f"model.kind={kind}"), "--out", folder)
            runs[kind] = Small(folder, ended)
        return runs[kind]

    return of


def entries(score: dict[str, Any]) -> set[str]:
    return {f"{', '.join(r['target'])} from {', '.join(r['given'])}" for r in score["results"]}


@pytest.mark.parametrize(
    ("kind", "elbo", "prediction"),
    [
        ("vae", {"image from image"}, {"image from image"}),
        ("cvae", {"image from image, label"}, {"image from label"}),
        pytest.param(
            "bivcca",
            {"image from image", "label from label", "image, label from image"},
            {"image from image", "image from label", "label from image", "label from label"},
        ),
        pytest.param(
            "jmvae",
            {"image from image", "label from label", "image, label from image, label"},
            {"image from image", "image from label", "label from image", "label from label"},
        ),
    ],
)
def test_a_run_scores_what_its_model_can_give(
    kind: str, elbo: set[str], prediction: set[str], run: Callable[[str], Small]
) -> None:
    small = run(kind)
    assert small.ended.status == 0, small.ended.err
    scores = small.results["scores"]
    assert [entries(score) for score in scores] == [elbo, prediction]
    for score in scores:
        assert all(r["examples"] == 30 and r["incomplete"] == 0 and r["value"] is not None for r in score["results"])


LEFT_OUT = {
    "vae": [
        ("elbo", "label from label", "decode label"),
        ("prediction", "image from label", "infer z from label"),
        ("prediction", "label from image", "decode label"),
        ("prediction", "label from label", "decode label"),
    ],
    "cvae": [
        ("elbo", "image from image", "infer z from image"),
        ("elbo", "label from label", "decode label"),
        ("prediction", "image from image", "infer z from image"),
        ("prediction", "label from image", "decode label"),
        ("prediction", "label from label", "decode label"),
    ],
    "bivcca": [],
    "jmvae": [],
}


@EVERY
def test_a_note_names_each_default_score_that_is_left_out(kind: str, run: Callable[[str], Small]) -> None:
    lines = [line for line in run(kind).ended.err.splitlines() if "left out" in line]
    for line, (evaluator, entry, fault) in zip(lines, LEFT_OUT[kind], strict=True):
        assert_facts(line, f"{evaluator}: ", f"{entry}: ", fault)


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        ("vae", {"samples", "from_0_image"}),
        ("cvae", {"given_1_label", "from_1_label", "from_all", "contributions"}),
        pytest.param(
            "bivcca",
            {"samples", "given_1_label", "from_0_image", "from_1_label", "contributions"},
        ),
        pytest.param(
            "jmvae",
            {"samples", "given_1_label", "from_0_image", "from_1_label", "from_all", "contributions"},
        ),
    ],
)
def test_figures_and_report_show_what_the_model_can_give(
    kind: str, figures: set[str], run: Callable[[str], Small]
) -> None:
    folder = run(kind).folder
    always = {"learning_curves", "cells", "latent"}
    assert {path.stem for path in (folder / "figures").iterdir()} == always | figures
    for path in (folder / "figures").iterdir():
        with PILImage.open(path) as picture:
            assert np.asarray(picture.convert("L")).min() < 100, path  # something is drawn on the white
    assert (folder / "report.html").read_text().count("data:image/webp;base64,") == len(always | figures)


def test_a_vae_of_the_labels_alone_shows_them(tmp_path: Path) -> None:
    done = mmt("run", "fashion_mini", *sets(*TINY, "model.kind=vae", "model.modality=label"), "--out", tmp_path / "run")
    assert done.status == 0, done.err
    figures = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"learning_curves", "samples", "from_1_label", "cells", "latent"}  # nothing else from labels


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("vae", {"log p(image)", "KL"}),
        ("cvae", {"log p(image)", "KL"}),
        ("bivcca", {"log p(image)", "log p(label)", "KL"}),
        ("jmvae", {"log p(image)", "log p(label)", "KL", "KL(joint, image)", "KL(joint, label)"}),
    ],
)
def test_history_has_the_parts_of_the_loss(kind: str, terms: set[str], run: Callable[[str], Small]) -> None:
    (line,) = (json.loads(line) for line in (run(kind).folder / "history.jsonl").read_text().splitlines())
    assert line["terms"].keys() == terms
    assert line["validation"] < 0


# Inference networks as in Table 1 of Wu & Goodman 2018 but for D, the latent size, which is 4 here.
IMAGE = (784 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 8
LABEL = 10 * 512 + (512 + 1) * 512 + (512 + 1) * 8
JOINT = (784 + 1) * 512 + 10 * 512 + (1024 + 1) * 512 + (512 + 1) * 8
COUNTS = {"vae": IMAGE, "cvae": IMAGE + 10 * 512, "bivcca": IMAGE + LABEL, "jmvae": IMAGE + LABEL + JOINT}


@EVERY
def test_check_and_run_count_the_inference_networks(kind: str, run: Callable[[str], Small]) -> None:
    done = mmt("check", "fashion_mini", *sets(*TINY, f"model.kind={kind}"), "--json")
    assert done.status == 0, done.err
    summary = json.loads(done.out)
    assert summary["parameters"]["inference"] == COUNTS[kind]
    assert summary["parameters"] == run(kind).results["parameters"]
    assert summary["units"]["label"]["decoder"] == 0 or kind in ("bivcca", "jmvae")
    assert summary["notes"] == []


# Samples.

CVAE_NEEDS_LABEL = ("cvae", "image given label; ", "value of label")


@pytest.mark.parametrize(
    ("kind", "given", "header"),
    [
        ("vae", [], "image"),
        ("cvae", ["label=Bag"], "image,label"),
        ("bivcca", [], "image,label"),
        ("bivcca", ["label=Bag"], "image,label"),
        ("jmvae", [], "image,label"),
        ("jmvae", ["label=Bag"], "image,label"),
    ],
)
def test_samples_are_written(
    kind: str, given: list[str], header: str, run: Callable[[str], Small], tmp_path: Path
) -> None:
    words = [word for text in given for word in ("--given", text)]
    done = mmt("sample", run(kind).folder, *words, "-n", "3", "--out", tmp_path / "s.csv")
    assert done.status == 0, done.err
    first, *lines = (tmp_path / "s.csv").read_text().splitlines()
    assert first == header
    assert len(lines) == 3
    if given:
        assert all(line.endswith(",Bag") for line in lines)
    assert mmt("sample", run(kind).folder, *words, "-n", "3", "--out", tmp_path / "s.png").status == 0


def test_an_image_given_to_a_vae_or_a_jmvae_is_encoded(run: Callable[[str], Small]) -> None:
    dark, light = (PILImage.new("L", (28, 28), grey) for grey in (0, 255))
    for kind in ("vae", "jmvae"):
        loaded = mmtoolkit.load(run(kind).folder)
        assert not torch.equal(loaded.infer([{"image": dark}], ["image"]).mean, torch.zeros(1, 4))
        means = [loaded.infer([{"image": picture}], ["image"]).mean for picture in (dark, light)]
        assert not torch.equal(*means)


@pytest.mark.parametrize(
    ("kind", "given", "facts"),
    [
        ("cvae", [], CVAE_NEEDS_LABEL),
        ("cvae", ["image=dark.png"], CVAE_NEEDS_LABEL),
        ("vae", ["label=Bag"], ("cannot infer z from label;", "image")),
        ("bivcca", ["label=Bag", "image=dark.png"], ("cannot infer z from image, label;", "image; label")),
    ],
)
def test_samples_that_the_model_cannot_give_are_refused(
    kind: str,
    given: list[str],
    facts: tuple[str, ...],
    run: Callable[[str], Small],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    PILImage.new("L", (28, 28)).save("dark.png")
    words = [word for pair in given for word in ("--given", pair)]
    done = mmt("sample", run(kind).folder, *words, "-n", "2", "--out", "s.csv")
    assert done.status == 2
    assert_facts(done.err, *facts)
    assert not Path("s.csv").exists()


def test_a_cvae_decodes_in_python_given_rows_of_cells(run: Callable[[str], Small]) -> None:
    loaded = mmtoolkit.load(run("cvae").folder)
    z = torch.zeros(2, 4)
    images = loaded.decode(z, rows=[{"label": "Bag"}, {"label": "Coat"}])["image"].mean
    assert images.shape == (2, 1, 28, 28)
    assert not torch.equal(images[0], images[1])
    for rows in (None, [{"label": "Bag"}, {}]):
        with pytest.raises(mmtoolkit.UserError) as raised:
            loaded.decode(z, rows=rows)
        assert_facts(str(raised.value), *CVAE_NEEDS_LABEL)


# Scores that are asked for.

IMPOSSIBLE = [
    ("vae", "prediction", "[label]", "[image]", ("label from image: ", "decode label")),
    ("vae", "elbo", "[image]", "[label]", ("image from label: ", "infer z from label")),
    ("cvae", "elbo", "[image]", "[]", ("image from nothing: ", "given label only")),
    ("cvae", "prediction", "[image]", "[image]", ("image from image: ", "infer z from image")),
    ("bivcca", "elbo", "[label]", "[label, image]", ("label from image, label: ", "infer z from image, label")),
]


@pytest.mark.parametrize(("kind", "evaluator", "target", "given", "facts"), IMPOSSIBLE)
def test_scores_that_the_model_cannot_give_are_refused_before_training_and_after(
    kind: str,
    evaluator: str,
    target: str,
    given: str,
    facts: tuple[str, ...],
    run: Callable[[str], Small],
    tmp_path: Path,
) -> None:
    possible = "{target: [image], given: [image, label]}" if kind == "cvae" else "{target: [image], given: [image]}"
    asked = f"evaluate=[{{kind: {evaluator}, entries: [{possible}, {{target: {target}, given: {given}}}]}}]"
    for ended in (
        mmt("run", "fashion_mini", *sets(*TINY, f"model.kind={kind}", asked), "--out", tmp_path / "run"),
        mmt("check", "fashion_mini", *sets(*TINY, f"model.kind={kind}", asked)),
        mmt("evaluate", run(kind).folder, *sets(asked)),
    ):
        assert ended.status == 2
        assert_facts(ended.err.splitlines()[-1], f"evaluate, {evaluator}: ", *facts, "; change or remove")
    assert not (tmp_path / "run" / "schema.yaml").exists()
    assert not list((run(kind).folder / "evaluations").glob("*.json"))


# Missing cells.


@pytest.mark.parametrize(
    ("kind", "unused", "learned_from"),
    [("vae", 24, "image"), ("cvae", 48, "image, label"), ("bivcca", 0, ""), ("jmvae", 48, "image, label")],
)
def test_a_note_tells_how_many_training_rows_are_not_used(kind: str, unused: int, learned_from: str) -> None:
    changed = [*TINY, f"model.kind={kind}", "data.supervision={paired: 0.2}"]
    done = mmt("check", "fashion_mini", *sets(*changed), "--json")
    assert done.status == 0, done.err
    notes = json.loads(done.out)["notes"]
    assert len(notes) == bool(unused)
    for note in notes:
        assert_facts(note, f"{unused} of 60 training rows", "not used", learned_from)


def test_the_note_does_not_count_rows_that_have_nothing() -> None:
    schema = mmtoolkit.read_schema("fashion_mini", [*TINY, "model.kind=vae", "data.supervision={keep: 0.5}"])
    dataset = prepare(schema.data, schema.modalities, schema.at, lambda line: None)
    image, label = dataset.splits["train"].present.unbind(1)
    assert not (image | label).all()
    (note,) = unused_rows(build(schema.model, dataset.modalities), dataset)
    assert_facts(note, f"{int((label & ~image).sum())} of 60 training rows", "not used")


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        # 60 rows: 12 with both, 24 with each alone; `elbo` of what each model learns from, `prediction` from the label
        ("cvae", [12, 12]),
        ("bivcca", [36, 36, 36, 12, 36, 12, 36]),
    ],
)
def test_runs_on_missing_cells_train_and_score_the_rows_they_can(
    kind: str, examples: list[int], tmp_path: Path
) -> None:
    changed = [*TINY, f"model.kind={kind}", "data.supervision={paired: 0.2}"]
    schema = mmtoolkit.read_schema("fashion_mini", changed)
    lines: list[str] = []
    run = mmtoolkit.run(schema, tmp_path / "run", say=lines.append, figures=False)
    assert any("of 60 training rows" in line for line in lines) == (kind == "cvae")
    scores = run.evaluate(schema.evaluate, "train")
    results = [r for score in scores for r in score["results"] if r.get("metric") != "calibration_error"]
    assert [r["examples"] for r in results] == examples
    assert all(r["incomplete"] == (24 if len(r["target"]) > 1 else 0) for r in results)


@pytest.mark.parametrize("kind", ["cvae", "jmvae"])
def test_a_run_without_a_usable_row_is_refused(kind: str, tmp_path: Path) -> None:
    changed = [*TINY, f"model.kind={kind}", "data.supervision={paired: 0}"]
    done = mmt("run", "fashion_mini", *sets(*changed), "--out", tmp_path / "run")
    assert done.status == 2
    assert_facts(
        done.err.splitlines()[-1], "no training row", "(image, label); ", "data.supervision", "another model", "mvae"
    )
    assert not (tmp_path / "run" / "schema.yaml").exists()


# Several conditions, and sets of modalities.

THREE = """\
name: three
data: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 20}}
modalities:
  image: {kind: image, shape: [1, 28, 28], network: mlp}
  "a.b": {kind: label, column: label}
  type: {kind: label, column: label}
train: {epochs: 1, batch_size: 30}
"""


@pytest.mark.parametrize(
    ("model", "elbo", "titles"),
    [
        (
            "{kind: cvae, latent_dim: 2, target: a.b, given: [type]}",
            {"a.b from a.b, type"},
            ["given a.b", "reconstructed", "given type"],
        ),
        pytest.param(
            "{kind: jmvae, latent_dim: 2, subsets: [[type, a.b]]}",
            {f"{name} from {name}" for name in ("image", "a.b", "type", "image, a.b, type")},
            [title for name in ("image", "a.b", "type") for title in (f"given {name}", "reconstructed")],
        ),
    ],
)
def test_three_modalities_of_odd_names_go_through(
    model: str, elbo: set[str], titles: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "three.yaml"
    path.write_text(f"{THREE}model: {model}\n")
    done = mmt("run", path, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    loaded = mmtoolkit.load(tmp_path / "run")
    assert entries(loaded.results["scores"][0]) == elbo
    figure = direction(loaded, "test", loaded.model.inputs, torch.arange(3))
    assert [text.get_text() for text in figure.texts if text.get_horizontalalignment() == "right"] == titles
    sampled = mmt("sample", tmp_path / "run", "--given", "type=Coat", "-n", "2", "--out", tmp_path / "s.csv")
    assert sampled.status == 0, sampled.err
    expected = "a.b,type" if "cvae" in model else "image,a.b,type"
    assert (tmp_path / "s.csv").read_text().splitlines()[0] == expected
