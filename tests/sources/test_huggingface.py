"""The source `huggingface`: saved folders and folders of files, without the network."""

from __future__ import annotations

import sys
from pathlib import Path

import datasets
import PIL.Image
import pytest

from mmt_attributes import Label, Numeric
from mmt_image import Image
from mmtoolkit import UserError, prepare
from mmtoolkit.sources.huggingface import HuggingFace


@pytest.fixture(autouse=True)
def _in_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    features = datasets.Features(
        {"img": datasets.Image(), "what": datasets.ClassLabel(names=["cat", "dog"]), "n": datasets.Value("float32")}
    )
    red, blue = PIL.Image.new("RGB", (8, 8), "red"), PIL.Image.new("RGB", (8, 8), "blue")
    rows = {"img": [red, None, blue], "what": [1, 0, None], "n": [0.5, float("nan"), 2.0]}
    parts = {name: datasets.Dataset.from_dict(rows, features=features) for name in ("train", "validation")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_saved_folder_is_read(saved: Path) -> None:
    source = HuggingFace(folder=saved)
    assert source.splits() == ("train", "valid")
    assert all(path.suffix == ".arrow" and path.is_file() for path in source.files())
    found = prepare(source, {"img": Image(shape=(3, 8, 8), network="mlp"), "what": Label(), "n": Numeric()})
    train = found.splits["train"]
    assert train.present.tolist() == [[True, True, True], [False, True, False], [True, False, True]]
    assert train.stored["img"][0, :, 0, 0].tolist() == [255, 0, 0]
    assert found.modalities["what"].classes == ("cat", "dog")  # type: ignore[attr-defined]
    assert train.stored["what"][:2].tolist() == [1, 0]
    assert [len(cells["n"]) for cells in source.load("train").chunks(["n"], 2)] == [2, 1]
    assert source.load("train").column("what") == ["dog", "cat", None]


def test_a_folder_of_files_is_read_offline(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.csv").write_text("a,b\n1,x\n2,y\n")
    (folder / "test.csv").write_text("a,b\n3,x\n")
    before = datasets.config.HF_HUB_OFFLINE
    source = HuggingFace(folder=folder)
    assert source.splits() == ("train", "test")
    assert list(source.load("test").column("a")) == [3]
    assert before == datasets.config.HF_HUB_OFFLINE


def test_nothing_is_fetched_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nobody/nothing: .*; set data.download to true"):
        HuggingFace(name="nobody/nothing").splits()


def test_faults(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"gone: .*no such folder; correct data.folder"):
        HuggingFace(folder=tmp_path / "gone").splits()
    with pytest.raises(UserError, match=r"splits train, validation; .*data.split_names"):
        HuggingFace(folder=saved, split_names={"train": "all"}).splits()
    with pytest.raises(ValueError, match=r"folder .*name .*; write folder: PATH or name: NAME"):
        HuggingFace()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"library datasets; .*pip install 'mmtoolkit\[huggingface\]'"):
        HuggingFace(folder=saved).splits()
