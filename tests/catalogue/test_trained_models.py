"""The trained models of the catalogue: what ships is whole and small, and a name stands for a run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import mmtoolkit
from facts import assert_facts
from mmtoolkit import UserError, read_schema
from mmtoolkit.catalogue.models import find_run, model_card, model_size, models
from mmtoolkit.sklearn import Embedder
from runs import assert_refused, mmt

MOST = 6_000_000  # bytes of a model
SHIPPED = sorted(models())


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_is_small_whole_and_says_what_it_is(name: str) -> None:
    folder = models()[name]
    card = model_card(folder)
    assert model_size(folder) < MOST
    assert card.licence
    assert abs(card.half_precision.loss) < 0.1
    assert card.scores
    tensors = load_file(folder / "weights.safetensors")
    assert torch.float16 in {tensor.dtype for tensor in tensors.values()}
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    texts = [path.read_text() for path in folder.iterdir() if path.suffix != ".safetensors"]
    assert [text for text in texts if "root: /" in text or '"/' in text] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_is_that_of_its_schema(name: str) -> None:
    folder = models()[name]
    now, then = read_schema(model_card(folder).schema_name), read_schema(folder / "schema.yaml")
    learned = {key: modality for key, modality in then.modalities.items() if now.modalities[key] != modality}
    fitted = {key: modality.model_copy(update={"classes": None}) for key, modality in learned.items()}
    assert all(now.modalities[key] == modality for key, modality in fitted.items())
    assert (now.data, now.model) == (then.data, then.model)


@pytest.mark.slow
def test_models_are_listed() -> None:
    listed = json.loads(mmt("list", "models", "--json").out)["models"]
    assert list(listed) == SHIPPED
    clothes = listed["fashion_mini"]
    assert [clothes[key] for key in ("schema", "epochs", "rows")] == ["fashion_mini-best", "40", "10,000"]
    assert clothes["size"].endswith(" MB")
    assert clothes["licence"].startswith("MIT")
    assert "image from label: coherence_1_given 0.8" in clothes["scores"]
    assert_facts(mmt("list", "models").out, "fashion_mini", "10,000", "MB", "MIT")


def test_a_name_draws_a_picture_offline(elsewhere: Path) -> None:
    ended = mmt("sample", "fashion_mini", "--given", "label=Sandal")
    assert (ended.status, ended.out) == (0, "samples/1.png\n")
    assert Path("samples/1.png").stat().st_size > 10_000


def test_pictures_are_of_the_class_that_is_given() -> None:
    run = mmtoolkit.load("fashion_mini")
    train = run.dataset.split("train")
    images, labels = (torch.cat(list(train.values(name))) for name in ("image", "label"))
    right = []
    for place, label in enumerate(run.modalities["label"].fixed_cells()):
        drawn = run.sample(20, {"label": label})["image"]
        nearest = torch.cdist(drawn.flatten(1), images.flatten(1)).argmin(1)
        right.append(labels[nearest] == place)
    assert torch.cat(right).double().mean() > 0.65  # docs/measured.md: 0.75; by chance 0.1


def test_every_command_takes_a_name(elsewhere: Path) -> None:
    Path("new.csv").write_text("label\nSandal\nBag\n")
    for command, out in (("embed", "z.csv"), ("impute", "filled.csv"), ("explain", "why.csv")):
        assert mmt(command, "fashion_mini", "new.csv", "--out", out).status == 0
    assert len(Path("z.csv").read_text().splitlines()) == 3
    assert mmt("pack", "fashion_mini", "--out", "again").status == 2  # it is packed already
    shutil.copytree(models()["fashion_mini"], "runs/fashion_mini")
    compared = json.loads(mmt("compare", "fashion_mini", "runs/fashion_mini", "--json").out)
    assert [run["name"] for run in compared["runs"]] == ["fashion_mini (catalogue)", "fashion_mini"]


def test_an_estimator_takes_a_name(elsewhere: Path) -> None:
    table = pl.DataFrame({"label": ["Sandal", "Bag"]})
    assert Embedder(run="fashion_mini").fit(table).transform(table).shape == (2, 16)


def test_a_folder_wins(elsewhere: Path) -> None:
    Path("fashion_mini").mkdir()
    assert find_run("fashion_mini") == Path("fashion_mini")
    assert_refused(mmt("sample", "fashion_mini"), ["fashion_mini: holds no run (there is no schema.yaml in it)"])


def test_a_wrong_name_says_what_is_near(elsewhere: Path) -> None:
    facts = [
        "fashion_min: there is no such folder, and no such model in the catalogue; did you mean 'fashion_mini'?",
        "the folder that `mmt run` wrote, or a name from `mmt list models`",
    ]
    for command in (["sample", "fashion_min"], ["compare", "fashion_min"], ["report", "fashion_min"]):
        assert_refused(mmt(*command), facts)
    with pytest.raises(UserError, match="did you mean 'fashion_mini'"):
        mmtoolkit.load("fashion_min")
    assert_refused(mmt("sample", "runs/fashion_mini"), ["runs/fashion_mini: there is no such folder; give the folder"])
