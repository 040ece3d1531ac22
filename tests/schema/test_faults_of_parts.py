"""Faults of networks, likelihoods and priors: each names its place, the whole key path and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError
from torch import Tensor, nn

from lines import assert_lines
from mmt_image import DCGAN
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Architecture, Component, Form, Grid, Modality, Model, Network, Part
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.schema.schema import Schema, json_schema, read_schema

SCHEMA = """\
name: x
data: fashion_mini
modalities:
  image: {kind: image, shape: [1, 28, 28]}
  label: {kind: label}
  old: {kind: old}
model: {kind: mvae}
"""


class Old(Modality):
    """A modality that writes its own networks."""

    kind: Literal["old"] = "old"

    def event_shape(self) -> tuple[int, ...]:
        return ()

    def parse(self, cell: Any) -> Tensor:
        return Tensor([cell])[0]

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return nn.Identity()

    def decoder(self, size: int) -> nn.Module:
        return nn.Identity()


class Fixed(Model):
    """A model that lets nobody choose its prior."""

    kind: Literal["fixed"] = "fixed"

    def build(self, modalities: Any) -> Network:
        raise NotImplementedError


class Deep(Architecture):
    """An architecture with an option that has no default, and one that is an architecture."""

    kind: Literal["deep"] = "deep"
    reads: ClassVar[tuple[type[Form], ...]] = (Grid,)
    layers: int
    inner: Part[Architecture] = DCGAN()

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        return nn.Identity()

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        return nn.Identity()


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    plugins = load_plugins()
    own: dict[tuple[str, str], type[Component]] = {
        ("modality", "old"): Old,
        ("model", "fixed"): Fixed,
        ("architecture", "deep"): Deep,
    }
    return Plugins({**plugins.components, **own})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(plugins: Plugins, options: dict[str, str], *overrides: str) -> Schema:
    """The schema with more options of some kinds, whose lines are 4 (image), 5 (label), 6 (old) and 7 (the model)."""
    text = SCHEMA
    for kind, more in options.items():
        text = text.replace(f"{{kind: {kind}", f"{{kind: {kind}, {more}")
    Path("s.yaml").write_text(text)
    return read_schema("s.yaml", overrides, plugins)


IMAGE, LABEL, OLD, MODEL = (
    f"s.yaml:{line}: {key}"
    for line, key in enumerate(("modalities.image.", "modalities.label.", "modalities.old.", "model."), 4)
)
FAULTS: list[tuple[str, str, list[tuple[str, ...]]]] = [
    ("label", "network: dcgan", [(f"{LABEL}network: ", "dcgan", "classes; ", "mlp")]),
    ("label", "network: {kind: dcgan, width: 3}", [(f"{LABEL}network: ", "dcgan", "classes; ", "mlp")]),
    ("image", "network: dcgn", [(f"{IMAGE}network: ", "'dcgn'", "did you mean 'dcgan'", "mlp")]),
    ("image", "network: {kind: dcgn}", [(f"{IMAGE}network.kind: ", "'dcgn'", "did you mean 'dcgan'", "mlp")]),
    ("image", "network: {kind: mlp, wdth: 3}", [(f"{IMAGE}network.wdth: ", "did you mean 'width'", "depth")]),
    ("image", "network: {width: 3}", [(f"{IMAGE}network: ", "no kind; ", "mlp")]),
    ("image", "network: 3", [(f"{IMAGE}network: ", "architecture", "{kind: …}", "not 3; ", "keys")]),
    ("image", "network: bernoulli", [(f"{IMAGE}network: ", "bernoulli is a kind of likelihood", "mlp")]),
    ("image", "network: deep", [(f"{IMAGE}network.layers: ", "missing; ", "add it")]),
    (
        "image",
        "network: {kind: deep, layers: 2, inner: {kind: dcgan, wdth: 3}}",
        [(f"{IMAGE}network.inner.wdth: ", "did you mean 'width'")],
    ),
    (
        "image",
        "network: {kind: mlp, width: -1, depth: x}",
        [(f"{IMAGE}network.width: ", "-1; "), (f"{IMAGE}network.depth: ", "'x'; ", "whole number")],
    ),
    ("image", "likelihood: categorical", [(f"{IMAGE}likelihood: ", "categorical", "a grid; ", "bernoulli", "laplace")]),
    ("label", "likelihood: gaussian", [(f"{LABEL}likelihood: ", "gaussian", "classes; ", "categorical")]),
    (
        "label",
        "network: dcgan, likelihood: gaussian",
        [(f"{LABEL}network: ", "dcgan", "; ", "mlp"), (f"{LABEL}likelihood: ", "gaussian", "; ", "categorical")],
    ),
    (
        "image",
        "likelihood: {kind: gaussian, scale: -1}",
        [(f"{IMAGE}likelihood.scale: ", "greater", "not -1; ", "larger")],
    ),
    ("image", "likelihood: {kind: gaussian, scale: [1, 2]}", [(f"{IMAGE}likelihood: ", "2 entries", "there are 1; ")]),
    ("image", "likelihood: gaussian, scale: -1", [(f"{IMAGE}scale: ", "greater", "not -1; ", "larger")]),
    ("image", "scale: 0.5", [(f"{IMAGE}scale: ", "option of likelihood", "; ", "choose another likelihood")]),
    ("old", "network: mlp", [(f"{OLD}network: ", "old brings its own networks", "; ", "remove it")]),
    ("old", "likelihood: gaussian", [(f"{OLD}likelihood: ", "old brings its own likelihood", "; ", "remove it")]),
]


@pytest.mark.parametrize(("kind", "options", "expected"), FAULTS, ids=[f"{kind}: {what}" for kind, what, _ in FAULTS])
def test_a_fault_of_a_part(kind: str, options: str, expected: list[tuple[str, ...]], plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        read(plugins, {kind: options})
    assert_lines(raised.value.faults, *expected)


def test_likelihoods_that_fit_are_those_of_these_values(plugins: Plugins) -> None:
    cls = plugins.of_family("modality")["numeric"]
    with pytest.raises(ValidationError) as raised:
        cls.model_validate({"likelihood": "von_mises"}, context={"plugins": plugins})
    (fault,) = (error["msg"] for error in raised.value.errors())
    kinds = fault.partition("; those that fit are ")[2].split(", ")
    assert {"gaussian", "student_t", "lognormal"} <= set(kinds)
    assert not {"von_mises", "poisson", "categorical"} & set(kinds)


def test_a_model_without_a_choice_of_priors(plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        read(plugins, {"mvae": "prior: mixtur"})
    assert_lines(raised.value.faults, (f"{MODEL}prior: ", "'mixtur'", "did you mean 'mixture'", "student_t"))
    with pytest.raises(UserError) as raised:
        read(plugins, {"mvae": "prior: mixture"}, "model.kind=fixed", "model.prior=mixture")
    assert_lines(
        raised.value.faults, ("--set model.prior: ", "fixed brings its own prior or has none", "; ", "remove it")
    )


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("modalities.label.network=dcgan", ("label.network: ", "dcgan", "; ", "mlp")),
        ("modalities.image.network.kind=dcgn", ("image.network.kind: ", "did you mean 'dcgan'")),
        ("modalities.image.network.wdth=3", ("image.network.wdth: ", "did you mean 'width'")),
        ("modalities.image.likelihood.scale=3", ("image.likelihood.scale: ", "unknown key")),
        ("modalities.old.network.width=3", ("old.network: ", "old brings its own networks", "; ", "remove it")),
        ("modalities.image.network={kind: deep}", ("image.network.layers: ", "missing; ", "add it")),
    ],
)
def test_a_fault_of_an_override(override: str, facts: tuple[str, ...], plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        read(plugins, {}, override)
    assert_lines(raised.value.faults, (f"--set modalities.{facts[0]}", *facts[1:]))


@pytest.mark.parametrize(
    ("options", "overrides", "network", "notes"),
    [
        ("network: mlp", ["network.width=64"], {"kind": "mlp", "width": 64}, []),
        ("weight: 1", ["network.width=64"], {"kind": "dcgan", "width": 64}, []),  # the default
        ("weight: 1", ["network.width=null"], {"kind": "dcgan", "width": 512}, []),
        (
            "network: {kind: dcgan, width: 9, channels: 8}",
            ["network.kind=mlp"],
            {"kind": "mlp", "width": 9},
            [("--set modalities.image.network.kind=mlp: ", "dropped channels", "mlp")],
        ),
        (
            "network: {kind: dcgan, width: 9, channels: 8}",
            ["network=mlp", "network.depth=1"],
            {"kind": "mlp", "width": 512, "depth": 1},
            [("--set modalities.image.network=mlp: ", "dropped width, channels")],
        ),
    ],
)
def test_overrides_of_a_network(
    options: str, overrides: list[str], network: dict[str, Any], notes: list[tuple[str, ...]], plugins: Plugins
) -> None:
    schema = read(plugins, {"image": options}, *(f"modalities.image.{override}" for override in overrides))
    written = schema.modalities["image"].model_dump()["network"]
    assert {key: written[key] for key in network} == network
    assert_lines(schema.notes, *notes)


def test_another_kind_of_modality_drops_parts_that_do_not_fit_it(plugins: Plugins) -> None:
    parts = "network: {kind: dcgan, width: 9}, likelihood: laplace"
    schema = read(plugins, {"image": parts}, "modalities.image.kind=label")
    assert_lines(
        schema.notes,
        ("--set modalities.image.kind=label: ", "dropped network", "fit label"),
        ("--set modalities.image.kind=label: ", "dropped likelihood", "fit label"),
        ("--set modalities.image.kind=label: ", "dropped shape", "label does not have"),
    )
    schema = read(plugins, {"image": "network: {kind: mlp, width: 9}"}, "modalities.image.kind=label")
    assert schema.modalities["image"].model_dump()["network"]["width"] == 9


def test_the_json_schema_of_a_modality_has_its_parts_and_the_options_that_moved(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    image = schema["$defs"]["Image"]["properties"]
    assert image["network"]["$ref"] == "#/$defs/architecture"
    assert image["likelihood"]["$ref"] == "#/$defs/likelihood"
    assert image["scale"]["deprecated"] is True
    assert "likelihood" in image["scale"]["description"]
    mapping, words = schema["$defs"]["architecture"]["anyOf"]
    assert set(mapping["discriminator"]["mapping"]) == set(plugins.of_family("architecture"))
    assert set(words["enum"]) == set(plugins.of_family("architecture")) - {"deep"}  # it has an option to fill in
    assert "network" not in schema["$defs"]["Old"]["properties"]
