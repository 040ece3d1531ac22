"""What a model says of itself, and the options and questions that it refuses."""

import re

import pytest
import torch
from pydantic import ValidationError

from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit.base.errors import UserError
from mmtoolkit.models import CVAE, JMVAE, VAE, BiVCCA
from mmtoolkit.training.networks import parameter_counts
from model_cases import EVERY, MODELS, TOYS, D, case, network_of, presence
from toys import Category, Vector, batch_of, some_values

TWO = {name: TOYS[name] for name in "ab"}


def sets(*words):
    return [frozenset(word) for word in words]


# What a model says of itself.


@pytest.mark.parametrize(
    ("name", "subsets", "inputs", "targets", "conditions", "usable"),
    [
        ("vae", ["a"], "a", "a", "", [1, 1, 1, 0, 0]),
        ("vae of c", ["c"], "c", "c", "", [1, 1, 1, 1, 0]),
        ("cvae", ["abc", "bc"], "abc", "a", "bc", [1, 0, 1, 0, 0]),
        ("cvae of b given c", ["bc", "c"], "bc", "b", "c", [1, 0, 1, 1, 0]),
        ("cvae of c given b and a", ["abc", "ab"], "abc", "c", "ab", [1, 0, 1, 0, 0]),
        ("bivcca", ["a", "b"], "a", "ab", "", [1, 1, 1, 1, 0]),
        ("jmvae", ["abc", "a", "b", "c"], "abc", "abc", "", [1, 0, 1, 0, 0]),
        ("jmvae with subsets", ["abc", "ac", "bc", "a", "b", "c"], "abc", "abc", "", [1, 0, 1, 0, 0]),
    ],
)
def test_what_a_model_says_of_itself(name, subsets, inputs, targets, conditions, usable):
    network = network_of(MODELS[name])
    assert network.subsets() == sets(*subsets)
    assert network.inputs == tuple(inputs)
    assert network.targets == tuple(targets)
    assert network.conditions == tuple(conditions)
    assert network.usable(presence(MODELS[name])).tolist() == [bool(flag) for flag in usable]


def parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@EVERY
def test_inference_networks_are_all_but_the_decoders(model):
    network = network_of(model)
    counts = parameter_counts(network)
    assert counts["total"] == parameters(network)
    assert counts["inference"] == counts["total"] - parameters(network.decoders)
    width = 2 * D
    encoder = {"a": 2 * width + width, "b": 3 * 4 + 4 * width + width, "c": 3 * width + width}
    branch = {"a": 2 * 4 + 4, "b": 3 * 4 + 4 * 4 + 4, "c": 3 * 4 + 4}
    expected = sum(encoder[name] for name in network.encoders.names)
    if isinstance(model, CVAE):
        expected += width * sum({"a": 2, "b": 1, "c": 3}[name] for name in network.given)
    if isinstance(model, JMVAE):
        for subset in network.sets:
            expected += sum(branch[name] for name in subset) + (4 * len(subset) + 1) * 512 + (512 + 1) * width
    assert counts["inference"] == expected


# Options that do not fit.


@pytest.mark.parametrize(
    ("model", "modalities", "text"),
    [
        (
            VAE(modality="imag"),
            {"image": Vector(), "label": Category()},
            "model.modality: there is no modality 'imag'; did you mean 'image'?; the modalities are image, label",
        ),
        (VAE(modality="z"), TWO, "model.modality: there is no modality 'z'; the modalities are a, b"),
        (
            CVAE(target="lable"),
            {"image": Vector(), "label": Category()},
            "model.target: there is no modality 'lable'; did you mean 'label'?; the modalities are image, label",
        ),
        (
            CVAE(given=("b", "labl")),
            {"a": Vector(), "b": Vector(), "label": Category()},
            "model.given: there is no modality 'labl'; did you mean 'label'?; the modalities are a, b, label",
        ),
        (CVAE(target="b", given=("b",)), TWO, "model.given: 'b' is the target too; leave it out of one of them"),
        (CVAE(given=("a",)), TWO, "model.given: 'a' is the target too; leave it out of one of them"),
        (
            CVAE(),
            {"a": Vector()},
            "model: cvae needs a modality to be given beside the target; add one, or use vae",
        ),
        (
            BiVCCA(),
            TOYS,
            "model: bivcca joins exactly two modalities, and there are 3; use mvae",
        ),
        (BiVCCA(), {"a": Vector()}, "model: bivcca joins exactly two modalities, and there is one; use mvae"),
        (
            JMVAE(),
            {"a": Vector()},
            "model: jmvae joins two modalities or more, and there is one; add one, or use vae",
        ),
        (
            JMVAE(subsets=(("a", "b"), ("a", "labl"))),
            {"a": Vector(), "b": Vector(), "label": Category()},
            "model.subsets.1: there is no modality 'labl'; did you mean 'label'?; the modalities are a, b, label",
        ),
        *(
            (
                JMVAE(subsets=subsets),
                TOYS,
                f"model.subsets.{place}: [{', '.join(subsets[place])}] must hold two modalities or more, not all of "
                "them, and be listed once; correct or remove it",
            )
            for place, subsets in (
                (0, (("a",),)),
                (0, ((),)),
                (0, (("a", "a"),)),
                (0, (("b", "c", "a"),)),
                (1, (("a", "b"), ("b", "a"))),
            )
        ),
    ],
)
def test_options_that_do_not_fit_the_modalities_are_refused(model, modalities, text):
    with pytest.raises(UserError) as caught:
        model.build(modalities)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (BiVCCA, {"mu": 0.0}),
        (BiVCCA, {"mu": 1.0}),
        (JMVAE, {"alpha": -0.1}),
        (JMVAE, {"width": 0}),
        (CVAE, {"given": ()}),
    ],
)
def test_numbers_out_of_range_are_refused(model, options):
    with pytest.raises(ValidationError):
        model(**options)


@pytest.mark.parametrize(
    ("name", "members", "text"),
    [
        ("vae", ["c", "b"], "the model cannot infer z from b, c; it can from: a"),
        ("cvae", ["a"], "the model cannot infer z from a; it can from: a, b, c; b, c"),
        ("bivcca", ["a", "b"], "the model cannot infer z from a, b; it can from: a; b"),
        ("jmvae", frozenset("bca") - {"a"}, "the model cannot infer z from b, c; it can from: a, b, c; a; b; c"),
        (
            "jmvae with subsets",
            ["b", "a"],
            "the model cannot infer z from a, b; it can from: a, b, c; a, c; b, c; a; b; c",
        ),
        ("vae", ["a", "x"], "there is no modality 'x' here; the modalities: a, b, c"),
    ],
)
def test_what_z_cannot_be_inferred_from_is_refused(name, members, text):
    network, values, _ = case(MODELS[name])
    with pytest.raises(UserError) as caught:
        network.infer(batch_of(values, presence(MODELS[name])), members)
    assert str(caught.value) == text


def test_an_encoder_that_takes_no_condition_is_told():
    class Deaf(Vector):
        def encoder(self, width, extra=0):
            return torch.nn.Linear(2, width)

    with pytest.raises(UserError, match=r"^model.target: the encoder of a \(vector\) takes no condition, which cvae"):
        CVAE(latent_dim=2).build({"a": Deaf(), "b": Vector()})


def test_divergences_to_subsets_have_names_of_their_own():
    modalities = {"a": Vector(), "b": Vector(), "a + b": Vector(), "['a', 'b']": Vector()}
    network = JMVAE(latent_dim=2, subsets=(("a", "b"),)).build(modalities)
    batch = batch_of(some_values({name: Vector() for name in modalities}, 3), torch.ones(3, 4, dtype=torch.bool))
    _, parts = network.double()(batch)
    assert len(parts) == 4 + 1 + 1 + 4


def test_a_record_counts_as_one_modality() -> None:
    record = Record(columns={"age": Numeric(), "sex": Label(classes=("f", "m"))})

    with pytest.raises(UserError, match=re.escape("there is one (the record person counts as one); add one")):
        JMVAE().build({"person": record})
