"""Runs with another prior: trained, saved, loaded, resumed, sampled, embedded and scored."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmtoolkit
from mmtoolkit.base.errors import UserError
from runs import SMALL, assert_refused, mmt, sets

HEAVY = Path(__file__).parents[2] / "docs" / "examples" / "heavy.py"
FIRST = ["data.rows={train: 200, valid: 40, test: 40}", "train.epochs=2", "model.latent_dim=3", "train.batch_size=50"]


def trained(folder: Path, *overrides: str, plugin: Path | None = None) -> Path:
    plugins: list[str | Path] = ["--plugin", plugin] if plugin else []
    ended = mmt(*plugins, "run", "fashion_mini", "--out", folder, *sets(*SMALL, *FIRST, *overrides))
    assert ended.status == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(
        tmp_path_factory.mktemp("runs") / "mixture",
        "model.prior=mixture",
        "model.prior.components=4",
        "evaluate=[{kind: elbo}, {kind: prediction}, {kind: log_likelihood, samples: 50, prior_samples: 100}]",
    )


@pytest.mark.slow
def test_the_schema_has_all_options_and_the_weights_have_the_prior(mixture: Path) -> None:
    assert "prior:\n    kind: mixture\n    components: 4\n" in (mixture / "schema.yaml").read_text()
    run = mmtoolkit.load(mixture)
    module: Any = run.model.prior
    assert module.means.shape == (4, 3)
    start = mmtoolkit.build(run.schema.model, run.modalities, run.schema.train.seed)
    assert not torch.equal(module.means, dict(start.named_parameters())["prior.means"])
    assert all(score["value"] is not None for entry in run.results["scores"] for score in entry["results"])


@pytest.mark.slow
def test_samples_and_rows_that_have_nothing_have_the_prior(mixture: Path) -> None:
    run = mmtoolkit.load(mixture)
    module = run.model.need_prior()
    q = run.infer([{}, {"label": "Sandal"}])
    assert torch.equal(q.mean[0], module.mean)
    assert torch.equal(q.variance[0], module.variance)
    embedded = run.embed({"label": ["Sandal", None]})
    assert [embedded[f"mean_{d}"][1] for d in range(3)] == pytest.approx(module.mean.tolist(), abs=1e-6)
    assert [embedded[f"logvar_{d}"][1] for d in range(3)] == pytest.approx(module.variance.log().tolist(), abs=1e-6)
    drawn = run.sample(5)
    assert drawn["image"].shape == (5, 1, 28, 28)
    assert torch.equal(drawn["image"], run.sample(5)["image"])
    z = run.infer([{}]).rsample(torch.randn(2000, 1, 3, generator=torch.Generator().manual_seed(0)))[:, 0]
    assert ((z.mean(0) - module.mean).abs() < 5 * z.std(0) / math.sqrt(2000)).all()


@pytest.mark.slow
def test_a_resumed_run_has_the_same_weights(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", "model.prior=mixture")
    part = trained(tmp_path / "part", "model.prior=mixture", "train.epochs=1")
    ended = mmt(
        "run", "fashion_mini", "--out", part, "--resume", *sets(*SMALL, *FIRST, "model.prior=mixture")
    )  # fmt: skip
    assert ended.status == 0, ended.err
    checkpoint = "checkpoint/weights.safetensors"
    assert (whole / checkpoint).read_bytes() == (part / checkpoint).read_bytes()
    changed = [*SMALL, *FIRST, "model.prior={kind: mixture, components: 3}"]
    assert_refused(
        mmt("run", "fashion_mini", "--out", part, "--resume", *sets(*changed)), ["differs in model.prior.components"]
    )


@pytest.mark.slow
def test_a_run_with_a_prior_of_a_plugin_asks_for_the_plugin(tmp_path: Path) -> None:
    folder = trained(
        tmp_path / "heavy",
        "model.prior=heavy",
        "evaluate=[{kind: log_likelihood, samples: 5000}]",
        "evaluate.0.entries=[{target: [label], proposal: []}, {target: [label]}]",
        plugin=HEAVY,
    )
    record = json.loads((folder / "run.json").read_text())
    assert [plugin["name"] for plugin in record["plugins"] if plugin["checksum"]] == ["heavy"]
    with pytest.raises(UserError, match=r"was made with the plugin file .*heavy\.py .*name that file"):
        mmtoolkit.load(folder)

    run = mmtoolkit.load(folder, [HEAVY])
    by_prior, by_posterior = run.results["scores"][0]["results"]
    truth = float(_log_likelihood(run).mean())
    assert by_prior["value"] == pytest.approx(truth, abs=0.05)
    assert by_posterior["value"] < truth + 0.05  # after two epochs it is too narrow for more than a bound
    assert mmt("--plugin", HEAVY, "sample", folder, "-n", "3", "--out", tmp_path / "drawn.csv").status == 0


@torch.no_grad()
def _log_likelihood(run: mmtoolkit.TrainedRun) -> Tensor:
    """log p(label) of the test rows, by draws of torch's own Student's t with four degrees of freedom."""
    torch.manual_seed(0)
    z = torch.distributions.StudentT(4.0).sample((40_000, 3))
    values = []
    for batch in run.batches("test"):
        p: Any = run.model.decode(z, run.batch([{}] * len(z)), ["label"])["label"]
        values.append(p.probs.mean(0).log()[batch.value("label")])
    return torch.cat(values)


def test_a_model_without_the_option_says_so(tmp_path: Path) -> None:
    mixtures = Path(__file__).parents[1] / "extensions" / "mixtures.py"
    changes = sets("model={kind: alone_or_all, latent_dim: 3, prior: mixture}")
    ended = mmt("--plugin", mixtures, "run", "fashion_mini", "--out", tmp_path / "x", *changes)
    assert_refused(ended, ["--set model.prior: ", "alone_or_all", "remove it"])


@pytest.mark.slow
def test_a_new_kind_drops_what_it_lacks(tmp_path: Path) -> None:
    changes = sets("model.prior={kind: mixture, components: 3}", "model.prior.kind=laplace", *SMALL)
    ended = mmt("run", "fashion_mini", "--out", tmp_path / "x", *changes)
    assert ended.status == 0, ended.err
    assert "--set model.prior.kind=laplace: dropped components, which laplace does not have" in ended.err


def test_a_checked_schema_counts_what_the_prior_learns() -> None:
    def parameters(*overrides: str) -> int:
        ended = mmt("check", "fashion_mini", "--json", *sets("model.latent_dim=4", *overrides))
        assert ended.status == 0, ended.err
        count: int = json.loads(ended.out)["parameters"]["total"]
        return count

    plain = parameters()
    assert parameters("model.prior=laplace") == plain
    assert parameters("model.prior={kind: mixture, components: 7}") == plain + 7 * (4 + 4 + 1)
