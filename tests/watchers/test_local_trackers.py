"""The watchers tensorboard and csv write what a run computes, once, also if it is resumed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from facts import assert_facts
from logs import STEPS, Dies, events, history, lines, looks_at_every_step, scalars, watched
from mmtoolkit import Watcher
from mmtoolkit.testing import check_watcher
from runs import assert_refused, mmt, sets

BOTH = ("{kind: tensorboard, figures_every: 1}", "csv")
IN_TRAINING = {"figures/samples", "figures/from label"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched") / "run"
    mmtoolkit.run(watched(*BOTH), folder, figures=False)
    return folder


def test_csv_holds_steps_epochs_and_scores(run: Path) -> None:
    written = lines(run)
    steps = [line for line in written if "step/loss" in line]
    assert [int(line["step"]) for line in steps] == list(range(1, 2 * STEPS + 1))
    assert set(steps[0]) == {"step", *(f"step/{n}" for n in ("loss", "log p(label)", "KL", "beta", "learning_rate"))}
    epochs = [line for line in written if "epoch" in line]
    for epoch, (line, past) in enumerate(zip(epochs, history(run), strict=True), 1):
        assert (int(line["step"]), float(line["epoch"])) == (epoch * STEPS, epoch)
        assert float(line["epoch/loss"]) == past["loss"]
        assert float(line["epoch/KL"]) == past["terms"]["KL"]
        assert float(line["epoch/validation"]) == past["validation"]
        # 300 rows in batches of 50: the mean over rows is the mean over steps
        losses = [float(step["step/loss"]) for step in steps[(epoch - 1) * STEPS : epoch * STEPS]]
        assert sum(losses) / STEPS == pytest.approx(past["loss"])
    (score,) = mmtoolkit.load(run).results["scores"][0]["results"]
    assert written[-1] == {"step": str(2 * STEPS), "score/elbo/label from label": str(score["value"])}


def test_tensorboard_shows_the_same(run: Path) -> None:
    logged, written = scalars(run / "tensorboard"), lines(run)
    names = {name for line in written for name in line} - {"step"}
    assert set(logged) == names
    for name in names:
        values = [(int(line["step"]), float(line[name])) for line in written if name in line]
        assert [step for step, _ in logged[name]] == [step for step, _ in values]
        assert [v for _, v in logged[name]] == pytest.approx([v for _, v in values], rel=1e-6), name


def test_tensorboard_shows_pictures_and_options(run: Path) -> None:
    seen = events(run / "tensorboard")
    for name in IN_TRAINING:
        assert [image.step for image in seen.Images(name)] == [STEPS, 2 * STEPS]
    width, height = seen.Images("figures/samples")[0].width, seen.Images("figures/samples")[0].height
    assert min(width, height) > 100
    assert b"kind: mvae" in seen.Tensors("schema/text_summary")[0].tensor_proto.string_val[0]
    options = seen.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"train.batch_size" in options
    assert b"model.subsets.k" in options
    assert b"train.watch" not in options


@pytest.mark.slow
def test_pictures_after_training_are_logged_too(tmp_path: Path) -> None:
    mmtoolkit.run(watched("tensorboard", changes=("train.epochs=1",)), tmp_path / "run")
    seen = events(tmp_path / "run" / "tensorboard")
    assert {"figures/samples", "figures/learning curves"} <= set(seen.Tags()["images"])
    assert [image.step for image in seen.Images("figures/samples")] == [STEPS]


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_same_files(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with looks_at_every_step(), pytest.raises(RuntimeError, match="here"):
        mmtoolkit.run(watched(*BOTH), folder, watcher=Dies(STEPS + 3), figures=False)
    assert int(lines(folder)[-1]["step"]) == STEPS + 3
    mmtoolkit.run(watched(*BOTH), folder, resume=True, figures=False)

    def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: cell for name, cell in row.items() if "second" not in name} for row in rows]

    assert untimed(lines(folder)) == untimed(lines(run))
    here, there = scalars(folder / "tensorboard"), scalars(run / "tensorboard")
    assert {name: here[name] for name in here if "second" not in name} == {
        name: there[name] for name in there if "second" not in name
    }
    longer = watched("csv", changes=("train.epochs=3",))
    mmtoolkit.run(longer, folder, resume=True, figures=False)
    assert [int(line["step"]) for line in lines(folder) if "step/loss" in line] == list(range(1, 3 * STEPS + 1))
    assert [line for line in lines(folder) if "score/elbo/label from label" in line] == lines(folder)[-1:]


def test_a_kill_while_csv_is_copied_loses_no_line(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match="here"):
        mmtoolkit.run(watched("csv"), folder, watcher=Dies(2 * STEPS), figures=False)
    file = folder / "csv" / "metrics.csv"
    file.rename(file.with_name("metrics.before.csv"))  # what a kill leaves, with some of the lines
    file.write_text("step,step/loss\n1,5.0\n")
    mmtoolkit.run(watched("csv"), folder, resume=True, figures=False)
    assert [int(line["step"]) for line in lines(folder) if "step/loss" in line] == list(range(1, 2 * STEPS + 1))
    assert [path.name for path in file.parent.iterdir()] == ["metrics.csv"]


def test_a_folder_of_your_own_has_a_folder_for_each_run(tmp_path: Path) -> None:
    watch = (f"{{kind: csv, folder: {tmp_path}/c}}", f"{{kind: tensorboard, folder: {tmp_path}/t}}")
    mmtoolkit.run(watched(*watch, changes=("train.epochs=1",)), tmp_path / "first", figures=False)
    assert (tmp_path / "c" / "first" / "metrics.csv").exists()
    assert "step/loss" in scalars(tmp_path / "t" / "first")
    assert not (tmp_path / "first" / "csv").exists()


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [
        ("tensorboard", "tensorboard", "tensorboard"),
        ("mlflow", "mlflow", "mlflow"),
        ("mlflow", "sqlalchemy", "sqlalchemy"),
        ("mlflow", "pytorch_lightning", "pytorch-lightning"),
        ("wandb", "wandb", "wandb"),
    ],
)
def test_a_package_that_is_not_installed(
    kind: str, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    facts = (f"train.watch.0 ({kind})", f"package {package},", "pip install 'mmtoolkit[log]'", f"pip install {package}")
    watch = sets(f"train.watch=[{kind}]")
    assert_refused(mmt("check", "fashion_mini", *watch), facts)
    refused = mmt("run", "fashion_mini", "--out", tmp_path / "run", *watch)
    assert_refused(refused, facts)  # at once: no line says that data is prepared
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["tensorboard", "csv"])
def test_local_trackers_keep_what_watchers_promise(kind: str) -> None:
    (example,) = mmtoolkit.load_plugins().of_family("watcher")[kind].examples()
    assert isinstance(example, Watcher)
    check_watcher(example)


def test_a_value_that_is_not_finite_is_logged_before_the_run_ends(tmp_path: Path) -> None:
    with pytest.raises(mmtoolkit.UserError) as error:
        mmtoolkit.run(watched("csv", changes=("train.learning_rate=1e30",)), tmp_path / "run", figures=False)
    assert_facts(str(error.value), "was not finite")
    assert any(line["step/loss"] in ("nan", "inf") for line in lines(tmp_path / "run"))
