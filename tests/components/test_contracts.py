"""Every component that ships with mmtoolkit keeps the promises that plugin authors test their own by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmt_attributes import Numeric
from mmt_binary import Binary
from mmt_image import Image
from mmt_series import SeriesModality
from mmt_text import Text
from mmtoolkit.catalogue.shipped import find_data_set
from mmtoolkit.components import Component, Evaluator, Modality, Model, Prior, Unit
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.evaluators import Prediction
from mmtoolkit.models import (
    CRMVAE,
    CVAE,
    HELVAE,
    JMVAE,
    MCVAE,
    MVAE,
    MVTCAE,
    VAE,
    Barycentre,
    BiVCCA,
    GPoE,
    Holder,
)
from mmtoolkit.priors import FlowPrior, LaplacePrior, MixturePrior, StudentTPrior
from mmtoolkit.sources import FashionMini, TableSource
from mmtoolkit.testing import check_evaluator, check_modality, check_model, check_prior, check_record, check_source
from mmtoolkit.testing.stand_ins import stand_in_modalities

PLUGINS = load_plugins()
# Cells that each kind must refuse, beside those of the kit: for examples of one column, and of several.
BAD: dict[str, tuple[list[Any], list[Any]]] = {
    "label": ([], []),
    "ordinal": ([[1]], []),
    "count": (["many", True, -1, 2.5, "2.5"], []),
    "date": (["2024-02-30", "yesterday", True, 2024, 1.5], []),
    "time": (["24:00", "2024-05-01", True, 12], []),
    "numeric": (["many", True, "1e999"], [{"height": "many"}, {"depth": 1}, 3]),
    "attributes": ([], [{"Male": "maybe"}, {"Old": 1}, "yes"]),
    "binary": (["maybe", 2], []),
    "image": (["nowhere.png", 3, b"no picture"], []),
    "series": (["many", 3, [1, "many"], [[1]], [1] * 50], [{"h00": "many"}, {"h01": 1}, 3]),
    "text": (["much too long a text", True], []),
}
# Sources whose data a test would have to write first; each has tests of its own.
ELSEWHERE = {
    *("mnist", "fashion_mnist", "multimnist", "polymnist", "celeba", "celeba_vision", "table", "huggingface", "arrays")
}


# A kit takes seconds. Quick tests check these modalities, models and evaluators, and all other components.
QUICK = {"label", "mvae", "mmvaeplus", "elbo", "prediction"}


def is_long(cls: type[Component]) -> bool:
    return issubclass(cls, (Modality, Model, Evaluator)) and cls.model_fields["kind"].default not in QUICK


def examples(family: type[Component]) -> list[Any]:
    return [
        pytest.param(example, id=f"{kind}-{place}", marks=[pytest.mark.slow] if place or is_long(cls) else [])
        for kind, cls in sorted(PLUGINS.of_family(family.family).items())
        for place, example in enumerate(cls.examples())
    ]


UNITS = examples(Unit)


@pytest.mark.parametrize("modality", [unit for unit in UNITS if isinstance(unit.values[0], Modality)])
def test_modalities(modality: Modality) -> None:
    one, several = BAD[modality.kind]
    check_modality(modality, bad=several if len(modality.source_columns("it")) > 1 else one)


@pytest.mark.parametrize(
    "modality",
    [
        Binary(values=("-1", "1")),
        Text(length=3, alphabet="abc", network={"kind": "gru", "feedback": "argmax"}),
        Image(shape=(1, 8, 8), network="mlp", likelihood={"kind": "laplace", "scale": 0.1}, binarize="static"),
        SeriesModality(length=6, network="mlp", likelihood="laplace"),
        Numeric(columns=("height", "weight"), likelihood={"kind": "student_t", "degrees": 3.0}),
    ],
    ids=lambda modality: modality.kind,
)
@pytest.mark.slow
def test_modalities_of_other_options(modality: Modality) -> None:
    check_modality(modality)


@pytest.mark.slow
@pytest.mark.parametrize("record", [unit for unit in UNITS if not isinstance(unit.values[0], Modality)])
def test_records(record: Unit) -> None:
    check_record(record)


@pytest.mark.parametrize("model", examples(Model))
def test_models(model: Model) -> None:
    check_model(model)


@pytest.mark.parametrize(
    "model",
    [
        CVAE(latent_dim=2, target="other point", given=("point",)),
        JMVAE(latent_dim=2, width=16, subsets=(("point", "choice"),), alpha=1.0),
    ],
    ids=lambda model: model.kind,
)
@pytest.mark.slow
def test_models_of_other_options(model: Model) -> None:
    check_model(model)


@pytest.mark.slow
def test_a_model_over_our_modalities() -> None:
    named = {"numbers": Numeric(columns=("height", "weight")), "yes": Binary(), "text": Text(length=3)}
    check_model(MVAE(latent_dim=2), named)


def test_a_model_of_two_modalities() -> None:
    two = {name: modality for name, modality in stand_in_modalities().items() if name != "choice"}
    check_model(BiVCCA(latent_dim=2), two)


def test_sources(tmp_path: Path) -> None:
    check_source(FashionMini().located(find_data_set))
    rows = [f"{n},{'' if n % 3 == 0 else n * n},{'train' if n % 2 else 'test'}" for n in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,part", *rows]) + "\n")
    check_source(TableSource(path=tmp_path / "table.csv"))
    check_source(TableSource(path=tmp_path / "table.csv", split="part"))


def test_no_source_is_forgotten() -> None:
    assert set(PLUGINS.of_family("source")) == {"fashion_mini", *ELSEWHERE}


@pytest.mark.parametrize("evaluator", [*examples(Evaluator), Prediction(samples=3, predict="sample", details=True)])
def test_evaluators(evaluator: Evaluator) -> None:
    check_evaluator(evaluator)


@pytest.mark.parametrize("family", [Unit, Model, Evaluator])
def test_each_kind_has_an_example(family: type[Component]) -> None:
    kinds = {example.values[0].kind for example in examples(family)}
    assert kinds == set(PLUGINS.of_family(family.family))


@pytest.mark.parametrize("prior", [*examples(Prior), LaplacePrior(scale=0.3), FlowPrior(transform="affine")])
def test_priors(prior: Prior) -> None:
    check_prior(prior)


@pytest.mark.parametrize(
    "model", [MVAE, VAE, CVAE, BiVCCA, JMVAE, MVTCAE, CRMVAE, GPoE, MCVAE, Barycentre, HELVAE, Holder]
)
@pytest.mark.parametrize("prior", [StudentTPrior(), MixturePrior(components=3)], ids=lambda prior: prior.kind)
@pytest.mark.slow
def test_models_with_another_prior(model: type[Model], prior: Prior) -> None:
    check_model(model.model_validate({**next(iter(model.examples())).model_dump(), "prior": prior}))
