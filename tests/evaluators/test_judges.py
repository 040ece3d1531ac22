"""Judges: they learn what tells the classes, are the same again, and are kept with the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from copying import LABEL, cells, copying_run
from facts import assert_facts
from mmt_attributes import Numeric
from mmt_binary import Binary
from mmt_image import Image
from mmt_text import Text
from mmtoolkit import TrainedRun, UserError
from mmtoolkit.components import Modality
from mmtoolkit.evaluators import judges as judging
from mmtoolkit.evaluators.judges import Judge, Skill, skills, trained_judges
from untrained import untrained

pytestmark = pytest.mark.usefixtures("own_cache")


def state(judge: Judge) -> list[torch.Tensor]:
    return list(judge.state_dict().values())


def alike(one: Judge, other: Judge) -> bool:
    return all(map(torch.equal, state(one), state(other)))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_FEWEST_STEPS", 20)


def picture(bright: bool, seed: int) -> Any:
    """A noisy picture with a bright left or right half."""
    pixels = torch.randint(0, 120, (8, 8), generator=torch.Generator().manual_seed(seed))
    pixels[:, :4] += 100 * bright
    pixels[:, 4:] += 100 * (not bright)
    return Pictures.fromarray(pixels.to(torch.uint8).numpy())


def several(rows: int, seed: int) -> dict[str, list[Any]]:
    """Columns of four kinds, which a yes or no tells."""
    yes = (torch.rand(rows, generator=torch.Generator().manual_seed(seed)) < 0.5).tolist()
    noise = torch.randn(rows, generator=torch.Generator().manual_seed(seed + 1)).tolist()
    return {
        "picture": [picture(bright, 1000 * seed + row) for row, bright in enumerate(yes)],
        "number": [4.0 * bright + x for bright, x in zip(yes, noise, strict=True)],
        "word": ["ab" if bright else "ba" for bright in yes],
        "truth": ["yes" if bright else "no" for bright in yes],
    }


def test_it_learns_from_every_kind_and_the_label_may_be_binary(tmp_path: Path) -> None:
    modalities: dict[str, Modality] = {
        "picture": Image(shape=(1, 8, 8), network="mlp"),
        "number": Numeric(),
        "word": Text(length=2, alphabet=("a", "b"), network="mlp"),
        "truth": Binary(modelled=False),
    }
    run = untrained(modalities, tmp_path, train=several(200, 1), valid=several(60, 2), test=several(200, 3))
    names = ("picture", "number", "word")
    judges, notes = trained_judges(run, "truth", names)
    assert (tuple(judges), notes) == (names, [])
    known = skills(run, "test", "truth", judges)
    for name, least in (("picture", 0.97), ("number", 0.93), ("word", 1.0)):
        skill = known[name]
        assert skill.accuracy is not None
        assert skill.accuracy >= least, name
        assert skill.examples == 200
        assert not skill.worthless
    batch = next(run.batches("test"))
    x = batch.value("picture")
    features = judges["picture"].features(x)
    assert (features.shape, features.dtype) == ((200, 128), torch.float32)
    torch.testing.assert_close(judges["picture"].linear(features), judges["picture"](x))
    assert judges["picture"].classify(x[:0]).shape == (0,)


@pytest.mark.usefixtures("few_steps")
def test_it_is_the_same_again_whatever_else_is_drawn_and_trained(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    (first, _), run = trained_judges(copying_run(tmp_path), "truth", ("a", "b")), copying_run(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    (second, _) = trained_judges(run, "truth", ("b",))
    assert alike(first["b"], second["b"])
    assert not alike(first["a"], first["b"])
    assert not (tmp_path / "judges").exists()  # the folder holds no run
    run.schema = run.schema.model_copy(update={"train": run.schema.train.model_copy(update={"seed": 1})})
    assert not alike(trained_judges(run, "truth", ("b",))[0]["b"], first["b"])


@pytest.mark.usefixtures("few_steps")
def test_it_is_kept_with_the_run_and_read_while_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schema.yaml").touch()
    run, lines = copying_run(tmp_path), list[str]()
    run.say = lines.append
    first = trained_judges(run, "truth", ("a",))[0]["a"]
    (file,) = (tmp_path / "judges").iterdir()
    assert len(lines) == 1
    before = torch.get_rng_state()
    again = trained_judges(run, "truth", ("a",))[0]["a"]
    assert len(lines) == 1  # it was read
    assert alike(first, again)
    assert not again.training
    assert torch.equal(torch.get_rng_state(), before)
    file.write_bytes(file.read_bytes()[:-50])
    assert alike(trained_judges(run, "truth", ("a",))[0]["a"], first)
    assert len(lines) == 2  # the file was damaged
    other = untrained(dict(run.modalities), tmp_path, lines.append, train=cells(50), test=cells(10))
    trained_judges(other, "truth", ("a",))
    assert len(lines) == 3  # other rows
    monkeypatch.setattr(judging, "_VERSION", judging._VERSION + 1)
    trained_judges(other, "truth", ("a",))
    assert len(lines) == 4
    assert [path.name for path in (tmp_path / "judges").iterdir()] == [file.name]


@pytest.mark.usefixtures("few_steps")
def test_a_judge_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").touch()
    (tmp_path / "judges").touch()  # no folder can have this name
    judges, notes = trained_judges(copying_run(tmp_path), "truth", ("a",))
    assert tuple(judges) == ("a",)
    (note,) = notes
    assert_facts(note, "not kept", "fitted again next time", "judges")


@pytest.mark.usefixtures("few_steps")
def test_only_rows_with_both_teach_and_count(tmp_path: Path) -> None:
    train, test = cells(60), cells(40, seed=1)
    lacking: dict[str, list[Any]] = {name: [] for name in train}
    for row in range(60):  # rows that lack one of the two say the contrary
        for name, column in train.items():
            lacking[name] += [column[row], None if name == "truth" else "x", "y" if name == "truth" else None]
    modalities: dict[str, Modality] = dict.fromkeys(train, LABEL)
    small = untrained(modalities, tmp_path, train=train, test=test)
    large = untrained(modalities, tmp_path, train=lacking, test={**test, "a": [None] * 10 + test["a"][10:]})
    judges, _ = trained_judges(large, "truth", ("a",))
    assert alike(trained_judges(small, "truth", ("a",))[0]["a"], judges["a"])
    assert skills(large, "test", "truth", judges)["a"].examples == 30
    assert skills(large, "test", "truth", judges, torch.arange(12))["a"].examples == 2


def test_too_few_rows_give_no_judge(tmp_path: Path) -> None:
    train = cells(30)
    train["b"] = train["b"][:19] + [None] * 11
    run = untrained(dict.fromkeys(train, LABEL), tmp_path, train=train, test=cells(5))
    judges, notes = trained_judges(run, "truth", ("b",))
    assert judges == {}
    (note,) = notes
    assert_facts(note, "left out: b", "19 training rows", "truth", "20")


@pytest.mark.usefixtures("few_steps")
def test_a_class_that_training_lacks_is_never_right(tmp_path: Path) -> None:
    train = {name: ["x", "y"] * 20 for name in ("a", "truth")}
    test = {name: ["x", "z"] * 20 for name in ("a", "truth")}
    run = untrained({"a": LABEL, "truth": LABEL}, tmp_path, train=train, test=test)
    judges, _ = trained_judges(run, "truth", ("a",))
    assert judges["a"].places(torch.tensor([0, 1, 2])).tolist() == [0, 1, -1]
    skill = skills(run, "test", "truth", judges)["a"]
    assert skill.accuracy is not None
    assert skill.accuracy <= 0.5
    assert skill.chance == 0.5


def test_classes_are_needed(tmp_path: Path) -> None:
    one = {name: ["x"] * 40 for name in ("a", "truth")}
    run: TrainedRun = untrained({"a": LABEL, "truth": LABEL}, tmp_path, train=one, test=one)
    with pytest.raises(UserError) as error:
        trained_judges(run, "truth", ("a",))
    assert_facts(str(error.value), "1 classes of truth", "2 to 1,000", "; name another")


@pytest.mark.parametrize(
    ("skill", "worthless"),
    [
        (Skill(0.9, 0.01, 1000, 0.1), False),
        (Skill(0.12, 0.01, 1000, 0.1), True),  # too little above chance
        (Skill(0.97, 0.001, 10_000, 0.95), False),  # a rare class
        (Skill(0.5, 0.1, 20, 0.4), True),  # too few rows to tell
        (Skill(None, None, 0, None), True),
    ],
)
def test_a_judge_near_chance_is_worthless(skill: Skill, worthless: bool) -> None:
    assert skill.worthless is worthless
