"""The run folder: all there, repeatable, usable without the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image as PILImage
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts
from mmt_attributes import Label
from mmtoolkit.components import Evaluator, Run, Scores
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.sources import FashionMini
from runs import SMALL, mmt, sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small run."""
    out = tmp_path_factory.mktemp("runs") / "small"
    done = mmt("run", "fashion_mini", "--out", out, *sets(*SMALL))
    assert done.status == 0, done.err
    return out


@pytest.fixture(scope="module")
def run(folder: Path) -> mmtoolkit.TrainedRun:
    return mmtoolkit.load(folder)


def test_it_holds_all_that_a_run_folder_holds(folder: Path) -> None:
    names = ("schema.yaml", "run.json", "weights.safetensors", "history.jsonl", "results.json", "report.html")
    for name in (*names, "data.json", "latent.json"):
        assert (folder / name).is_file(), name
    assert (folder / "checkpoint").is_dir()
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {
        "learning_curves.png",
        "samples.png",
        "given_1_label.png",
        "from_0_image.png",
        "from_1_label.png",
        "from_all.png",
        "cells.png",
        "contributions.png",
        "latent.png",
    } <= figures
    assert not list(folder.rglob(".*"))  # nothing half-written


def test_run_json_says_what_made_the_weights(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    assert record["versions"]["torch"] == torch.__version__
    assert {plugin["name"] for plugin in record["plugins"]} == {
        "architectures",
        "attributes",
        "evaluators",
        "image",
        "likelihoods",
        "models",
        "priors",
        "sources",
    }
    assert record["seed"] == 0
    assert record["precision"] == "32-true"
    assert len(record["data"]) == 4
    assert all(len(digest) == 64 for digest in record["data"].values())
    assert record["times"]["started"] <= record["times"]["finished"]


def test_the_resolved_schema_repeats_the_run(folder: Path, tmp_path: Path) -> None:
    schema = mmtoolkit.read_schema(folder / "schema.yaml")
    label, source = schema.modalities["label"], schema.data
    assert isinstance(label, Label)
    assert label.classes == tuple(sorted(FashionMini.classes))
    assert isinstance(source, FashionMini)
    assert source.root is not None
    assert source.root.is_absolute()
    mmtoolkit.run(schema, tmp_path / "again", figures=False)
    first, again = (load_file(run / "weights.safetensors") for run in (folder, tmp_path / "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_results_hold_the_default_scores(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    image = (784 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 8  # D = 4
    label = 10 * 512 + (512 + 1) * 512 + (512 + 1) * 8
    assert results["parameters"]["inference"] == image + label
    elbo, prediction = results["scores"]
    assert [(r["target"], r["given"]) for r in elbo["results"]] == [
        (["image"], ["image"]),
        (["label"], ["label"]),
        (["image", "label"], ["image", "label"]),
    ]
    pairs = {(*r["target"], *r["given"], r["metric"]) for r in prediction["results"]}
    assert pairs == {
        ("image", "label", "squared_error"),
        ("image", "image", "squared_error"),
        ("label", "image", "accuracy"),
        ("label", "image", "calibration_error"),
        ("label", "label", "accuracy"),
        ("label", "label", "calibration_error"),
    }
    for result in elbo["results"] + prediction["results"]:
        assert result["examples"] == 80
        assert result["better"] == ("low" if "error" in (result.get("metric") or "") else "high")
    accuracy = next(r for r in prediction["results"] if r["target"] == ["label"] and r["given"] == ["image"])
    assert 0 < accuracy["baseline"] < 0.3


def test_the_baseline_is_the_training_mean_scored_the_same_way(run: mmtoolkit.TrainedRun) -> None:
    images = {split: torch.cat(list(run.dataset.split(split).values("image"))) for split in ("train", "test")}
    expected = (images["test"] - images["train"].mean(0)).square().mean()
    results = run.results["scores"][1]["results"]
    assert results[0]["metric"] == "squared_error"
    assert results[0]["baseline"] == pytest.approx(float(expected), rel=1e-4)


def test_the_elbo_agrees_with_an_explicit_sum(run: mmtoolkit.TrainedRun) -> None:
    elbo = run.schema.evaluate[0].model_copy(update={"samples": 3})
    scores = run.evaluate([elbo], "valid", run.folder / "figures")
    generator, total, rows = run.generator, 0.0, 0
    with torch.no_grad():
        for batch in run.batches("valid"):
            q = run.model.infer(batch, ["image"])
            noise = torch.randn(3, batch.size, 4, generator=generator)
            p = [run.model.decoders[0](q.rsample(e)).log_prob(batch.value("image")) for e in noise]
            total += float((torch.stack(p).mean(0) - q.kl()).sum())
            rows += batch.size
    assert scores[0]["results"][0]["value"] == pytest.approx(total / rows, rel=1e-5)


class Drawing(Evaluator):
    """An evaluator that scores nothing and draws figures whose names look alike as files."""

    kind: Literal["drawing"] = "drawing"
    names: tuple[str, ...]

    def evaluate(self, run: Run, split: str) -> Scores:
        return Scores([], {name: Figure(figsize=(1, 1)) for name in self.names})


def test_no_two_figures_share_a_file(run: mmtoolkit.TrainedRun, tmp_path: Path) -> None:
    run.evaluate([Drawing(names=("a/b", "a b")), Drawing(names=("a b", "A B"))], "valid", tmp_path)
    names = [path.name.lower() for path in tmp_path.iterdir()]  # some file systems take a and A for one
    assert len(set(names)) == 4


def test_scores_on_the_same_split_are_the_same_again(folder: Path, run: mmtoolkit.TrainedRun) -> None:
    before = (folder / "results.json").read_text()
    done = mmt("evaluate", folder, "--json")
    assert done.status == 0
    document = json.loads(done.out)
    assert document["scores"] == run.results["scores"]
    assert json.loads((folder / "evaluations" / "1.json").read_text()) == document
    assert (folder / "results.json").read_text() == before


def test_evaluate_takes_other_evaluators_and_splits(folder: Path) -> None:
    chosen = "evaluate=[{kind: prediction, samples: 4, predict: sample, entries: [{target: [label], given: [image]}]}]"
    done = mmt("evaluate", folder, "--split", "valid", "--set", chosen, "--json")
    (score,) = json.loads(done.out)["scores"]
    assert score["split"] == "valid"
    assert [r["metric"] for r in score["results"]] == ["accuracy", "calibration_error"]
    assert score["results"][0]["examples"] == 60


def test_loading_and_sampling_never_touch_the_data(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    schema = (moved / "schema.yaml").read_text()
    source = mmtoolkit.read_schema(folder / "schema.yaml").data
    assert isinstance(source, FashionMini)
    root = str(source.root)
    assert root in schema
    (moved / "schema.yaml").write_text(schema.replace(root, str(tmp_path / "nowhere")))
    loaded = mmtoolkit.load(moved)
    values = loaded.sample(5, {"label": "Sandal"})
    assert values["image"].shape == (5, 1, 28, 28)
    assert {loaded.modalities["label"].cell(v) for v in values["label"]} == {"Sandal"}
    with pytest.raises(mmtoolkit.UserError, match=r"nowhere.*no such file"):
        next(loaded.batches("test"))


def test_infer_and_decode_from_cells(run: mmtoolkit.TrainedRun) -> None:
    picture = PILImage.new("L", (28, 28), 128)
    q = run.infer([{"label": "Bag"}, {"image": picture, "label": "Coat"}, {}])
    assert isinstance(q, Posterior)
    assert q.mean.shape == (3, 4)
    assert torch.equal(q.mean[2], torch.zeros(4))  # nothing known: the prior
    assert torch.equal(q.variance[2], torch.ones(4))
    decoded = run.decode(q.mean)
    assert decoded["image"].mean.shape == (3, 1, 28, 28)
    assert decoded["label"].batch_shape == (3,)


def test_samples_are_a_function_of_the_seed(run: mmtoolkit.TrainedRun) -> None:
    first, again, other = run.sample(3, seed=1), run.sample(3, seed=1), run.sample(3, seed=2)
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])


@pytest.mark.parametrize("ending", ["png", "csv", "parquet"])
def test_samples_are_written(ending: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / f"s.{ending}"
    assert mmt("sample", folder, "--given", "label=Sandal", "-n", "3", "--out", out).status == 0
    if ending == "png":
        assert PILImage.open(out).width > 100
        return
    if ending == "csv":
        lines = out.read_text().splitlines()
        assert lines[0] == "image,label"
        assert lines[1] == "s_images/00000_0_image.png,Sandal"
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(out).to_pylist()[0] == {"image": "s_images/00000_0_image.png", "label": "Sandal"}
    assert PILImage.open(tmp_path / "s_images" / "00002_0_image.png").size == (28, 28)


def test_a_sample_can_be_given_an_image_file(folder: Path, tmp_path: Path) -> None:
    PILImage.new("RGB", (40, 30), "white").save(tmp_path / "shoe.png")
    out = tmp_path / "guesses.csv"
    assert mmt("sample", folder, "--given", f"image={tmp_path / 'shoe.png'}", "-n", "4", "--out", out).status == 0
    assert len(out.read_text().splitlines()) == 5


@pytest.mark.slow
def test_the_report_is_one_file_that_asks_for_nothing_else(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    assert html.count("data:image/webp;base64,") == 9
    assert "http" not in html
    assert "label from image: accuracy" in html
    (folder / "report.html").unlink()
    assert mmt("report", folder).status == 0
    assert (folder / "report.html").read_text() == html


NAMES = ("type", "a.b", "a/b", "ü", "keys", "kl", "forward")


@pytest.mark.slow
def test_modalities_may_have_any_name(tmp_path: Path) -> None:
    modalities = "\n".join(f'  "{name}": {{kind: label, column: label}}' for name in NAMES)
    image = '  "image of it": {kind: image, shape: [1, 28, 28], network: mlp, column: image}'
    path = tmp_path / "names.yaml"
    path.write_text(
        "name: names\ndata: {kind: fashion_mini, rows: {train: 60, valid: 20, test: 20}}\n"
        f"modalities:\n{modalities}\n{image}\n"
        "model: {kind: mvae, latent_dim: 2, subsets: {k: 2}}\ntrain: {epochs: 1, batch_size: 30}\n"
    )
    done = mmt("run", path, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    loaded = mmtoolkit.load(tmp_path / "run")
    assert list(loaded.modalities) == [*NAMES, "image of it"]
    values = loaded.sample(2, {"a.b": "Bag", "ü": "Bag"})
    assert values["image of it"].shape == (2, 1, 28, 28)
    figures = sorted(path.name for path in (tmp_path / "run" / "figures").iterdir())
    assert len([name for name in figures if name.startswith("given_")]) == len(NAMES)
    sampled = mmt("sample", tmp_path / "run", "--given", "a/b=Coat", "-n", "2", "--out", tmp_path / "s.csv")
    assert sampled.status == 0, sampled.err


@pytest.mark.slow
def test_resume_may_change_the_epochs_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(folder, out)
    more = [*SMALL, "train.epochs=3"]
    done = mmt("run", "fashion_mini", "--out", out, "--resume", *sets(*more))
    assert done.status == 0, done.err
    assert [json.loads(line)["epoch"] for line in (out / "history.jsonl").read_text().splitlines()] == [1, 2, 3]
    mmtoolkit.run(mmtoolkit.read_schema("fashion_mini", more), tmp_path / "straight", figures=False)
    first, again = (load_file(run / "weights.safetensors") for run in (out, tmp_path / "straight"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    refused = mmt("run", "fashion_mini", "--out", out, "--resume", *sets(*SMALL, "train.learning_rate=0.5"))
    assert refused.status == 2
    assert_facts(refused.err, f"{out}: ", "schema", "train.learning_rate", "train.epochs", "--out")


@pytest.mark.slow
def test_resume_where_no_run_stands_starts_one(tmp_path: Path) -> None:
    done = mmt("run", "fashion_mini", "--out", tmp_path / "new", "--resume", *sets(*SMALL, "train.epochs=1"))
    assert done.status == 0, done.err


def test_static_binarisation_and_missing_cells_go_through(tmp_path: Path) -> None:
    changed = [*SMALL, "modalities.image.binarize=static", "data.supervision={keep: 0.5}", "model.subsets.k=0"]
    schema = mmtoolkit.read_schema("fashion_mini", changed)
    run = mmtoolkit.run(schema, tmp_path / "run", figures=False)
    x = next(iter(run.batches("test"))).value("image")
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert 0 < float(1 - run.dataset.splits["train"].present.float().mean()) < 1


def test_checksums_of_many_or_large_files_are_of_names_sizes_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmtoolkit.runs import provenance

    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    (few / "small").write_bytes(b"1")
    (few / "large").write_bytes(b"1" * 50)
    for number in range(101):
        (many / f"{number}.jpg").write_bytes(b"1")
    monkeypatch.setattr(provenance, "_MOST_BYTES", 10)
    checksums = provenance._checksums([*few.iterdir(), *many.iterdir()])
    assert len(checksums[str(few / "small")]) == 64
    assert checksums[str(few / "large")].startswith("50 bytes, ")
    assert len(checksums) == 3
    (many / "7.jpg").write_bytes(b"22")
    assert provenance._checksums([*few.iterdir(), *many.iterdir()]) != checksums
