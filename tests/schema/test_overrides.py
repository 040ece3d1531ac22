"""`--set key.path=value`: what it changes, what it drops, and how its faults read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lines import assert_lines
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.schema.overrides import parse_override
from mmtoolkit.schema.schema import Schema, read_schema

SCHEMA = """\
name: mine
data: {kind: mnist}
modalities:
  image: {kind: image, shape: [1, 28, 28], network: mlp}
  label: {kind: label}
  a.b: {kind: label}
  "0": {kind: label, weight: 3}
model: {kind: mvae}
train: {epochs: 3}
evaluate: [{kind: elbo}, {kind: prediction, predict: sample}]
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(autouse=True)
def _schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCHEMA)


def read(plugins: Plugins, *overrides: str) -> Schema:
    return read_schema("s.yaml", overrides, plugins)


def faults(plugins: Plugins, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        read(plugins, *overrides)
    return raised.value.faults


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.epochs=10", ("train", "epochs"), 10),
        ("train.learning_rate=1e-3", ("train", "learning_rate"), 0.001),
        ("name=no", ("name",), "no"),
        ("name='1'", ("name",), "1"),
        ("name=a=b", ("name",), "a=b"),
        ("evaluate=[{kind: elbo}]", ("evaluate",), [{"kind": "elbo"}]),
        ("evaluate.1.samples=5", ("evaluate", 1, "samples"), 5),
        ('modalities."a.b".weight=2', ("modalities", "a.b", "weight"), 2),
        ("modalities.'a.b'.weight=2", ("modalities", "a.b", "weight"), 2),
        ('modalities."0".weight=2', ("modalities", "0", "weight"), 2),
        ("modalities.a/b.weight=2", ("modalities", "a/b", "weight"), 2),
        ("modalities.x y.weight=2", ("modalities", "x y", "weight"), 2),
        ("modalities.007.weight=2", ("modalities", "007", "weight"), 2),
        ("modalities.²=2", ("modalities", "²"), 2),
        (" train . epochs = 4 ", ("train", "epochs"), 4),
        ("model.subsets=null", ("model", "subsets"), None),
        ("model.subsets=", ("model", "subsets"), None),
        ('modalities."".weight=2', ("modalities", "", "weight"), 2),
    ],
)
def test_path_and_value(text: str, path: KeyPath, value: Any) -> None:
    assert parse_override(text) == (path, value)


@pytest.mark.parametrize("text", ["", "train.epochs", "=3", ".=3", "train..epochs=3", 'a."b=3', "train.=3", '"a"b=3'])
def test_what_is_no_override(text: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_override(text)
    assert_lines(raised.value.faults, (f"--set {text}: ", "not key.path=value", "--set train.epochs=10"))


def test_values_are_set_and_later_ones_win(plugins: Plugins) -> None:
    schema = read(plugins, "train.epochs=5", "model.subsets.k=2", "train.epochs=7", "train.learning_rate=1e-4")
    assert (schema.train.epochs, schema.train.learning_rate) == (7, 1e-4)
    assert schema.model.model_dump()["subsets"]["k"] == 2


def test_a_place_in_a_list(plugins: Plugins) -> None:
    schema = read(plugins, "evaluate.0.samples=7", "modalities.image.shape.0=3")
    assert schema.evaluate[0].model_dump()["samples"] == 7
    assert schema.modalities["image"].event_shape() == (3, 28, 28)


@pytest.mark.parametrize("name", ['"a.b"', "'a.b'"])
def test_quotes_go_round_a_name_with_a_dot(name: str, plugins: Plugins) -> None:
    assert read(plugins, f"modalities.{name}.weight=2").modalities["a.b"].weight == 2


def test_a_modality_named_by_a_number(plugins: Plugins) -> None:
    schema = read(plugins, "modalities.0.weight=2", "modalities.1.kind=label")
    assert schema.modalities["0"].weight == 2
    assert list(schema.modalities)[-1] == "1"


def test_null_deletes(plugins: Plugins) -> None:
    schema = read(plugins, "modalities.label=null", "evaluate.0=null", "train=", "model.subsets.k=null")
    assert list(schema.modalities) == ["image", "a.b", "0"]
    assert [e.kind for e in schema.evaluate] == ["prediction"]
    assert schema.train.epochs == 100
    assert [e.kind for e in read(plugins, "evaluate=null").evaluate] == ["elbo", "prediction"]


def test_deleting_what_is_not_there_leaves_nothing_behind(plugins: Plugins) -> None:
    assert read(plugins, "data.supervision.keep=null") == read(plugins)


def test_a_new_kind_drops_foreign_keys_and_names_each(plugins: Plugins) -> None:
    schema = read(plugins, "modalities.image.kind=label", "evaluate.1.kind=elbo", "modalities.0.kind=label")
    assert schema.modalities["image"].kind == "label"
    assert_lines(
        schema.notes,
        ("--set modalities.image.kind=label: ", "dropped shape", "label does not have"),
        ("--set evaluate.1.kind=elbo: ", "dropped predict", "elbo does not have"),
    )


def test_a_new_kind_keeps_each(plugins: Plugins) -> None:
    schema = read(plugins, "modalities.label.each=[x, y]", "modalities.label.kind=label")
    assert {"x", "y"} <= set(schema.modalities)
    assert schema.notes == []


def test_overrides_reach_each_of_each(plugins: Plugins) -> None:
    schema = read(plugins, "modalities.label.each=[x, y]", "modalities.label.weight=4")
    assert [schema.modalities[name].weight for name in "xy"] == [4, 4]


KEYS = "name, data, modalities, model, train, evaluate"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["a=3"], [("--set a: ", "unknown key", KEYS)]),
        (["trian.epochs=3"], [("--set trian.epochs: ", "unknown key", "did you mean 'train'", KEYS)]),
        (["train.epoch=3"], [("--set train.epoch: ", "unknown key", "did you mean 'epochs'", "epochs, sampling, ")]),
        (["train.epochs=x"], [("--set train.epochs: ", "integer", "'x'", "whole number")]),
        # The file's own train.epochs is no more.
        (["train={epochs: x}"], [("--set train.epochs: ", "integer", "'x'", "whole number")]),
        (["train.epochs=[1"], [("--set train.epochs: ", "not YAML", "expected ',' or ']'", "mend")]),
        (["train.epochs=!!int 3"], [("--set train.epochs: ", "tag:yaml.org,2002:int", "tag", "remove it")]),
        (["train.epochs=*a"], [("--set train.epochs: ", "*a", "alias", "write the value out")]),
        (["name=#fff"], [("--set name: ", "no value", "comment", "quotes")]),
        (["evaluate.2.kind=elbo"], [("--set evaluate.2.kind: ", "2 ", "list of 2", "count from 0")]),
        (["evaluate.x=1"], [("--set evaluate.x: ", "'x'", "list of 2", "count from 0")]),
        (["modalities.image.shape.-1=3"], [("--set modalities.image.shape.-1: ", "'-1'", "list of 3", "from 0")]),
        (["name.x=3"], [("--set name.x: ", "name has no keys", "as a whole")]),
        (["train.epochs.x.y=3"], [("--set train.epochs.x.y: ", "train.epochs has no keys", "as a whole")]),
        (["data=null"], [("--set data: ", "missing", "add it")]),
        (["model.kind=mva"], [("--set model.kind: ", "'mva'", "did you mean 'mvae'", "MODELS")]),
        (
            ["model.foo.bar=1"],
            [("--set model.foo: ", "unknown key", "kind, latent_dim, draws, gradient, prior, subsets")],
        ),
        (["data.supervision.kep=1"], [("--set data.supervision.kep: ", "unknown key", "'keep'", "paired, groups, ")]),
        (
            ['modalities."a.b".weight=-1'],
            [('--set modalities."a.b".weight: ', "greater than or equal to 0", "-1", "larger number")],
        ),
        (
            ["modalities.0.weight=-1"],
            [("--set modalities.0.weight: ", "greater than or equal to 0", "-1", "larger number")],
        ),
        (["modalities.0.kind=image"], [("s.yaml:7: modalities.0.shape: ", "missing", "add it")]),
        (
            ["evaluate.0=null", "evaluate.0.predict=pint"],
            [("--set evaluate.0.predict: ", "'point' or 'sample'", "'pint'", "did you mean 'point'")],
        ),
        (
            ["modalities.label.each=[a, image]"],
            [("--set modalities.label.each.1: ", "'image'", "modalities.image", "rename or remove")],
        ),
        (
            ["modalities.label.each=[x, y]", "modalities.label.weight=-1"],
            [
                (f"--set modalities.{name}.weight: ", "greater than or equal to 0", "-1", "larger number")
                for name in "xy"
            ],
        ),
    ],
)
def test_faults_name_the_override(overrides: list[str], expected: list[tuple[str, ...]], plugins: Plugins) -> None:
    models = ", ".join(plugins.of_family("model"))
    assert_lines(
        faults(plugins, *overrides),
        *([models if fact == "MODELS" else fact for fact in facts] for facts in expected),
    )


def test_a_new_kind_drops_what_it_means_something_else_by(plugins: Plugins) -> None:
    Path("s.yaml").write_text(SCHEMA.replace("kind: mvae", "kind: mvae, subsets: {k: 0}"))
    schema = read_schema("s.yaml", ["model.kind=jmvae"], plugins)
    assert_lines(schema.notes, ("--set model.kind=jmvae: ", "dropped subsets", "jmvae"))
    assert schema.model.model_dump()["subsets"] == ()


def test_a_value_that_was_wrong_before_is_still_reported(plugins: Plugins) -> None:
    Path("s.yaml").write_text(SCHEMA.replace("kind: mvae", "kind: mvae, subsets: 7"))
    assert_lines(faults(plugins, "model.kind=jmvae"), ("s.yaml:8: model.subsets: ", "tuple", "not 7"))


def test_faults_of_overrides_and_file_are_reported_at_once(plugins: Plugins) -> None:
    Path("s.yaml").write_text(SCHEMA.replace("epochs: 3", "epochs: -3"))
    assert_lines(
        faults(plugins, "trian=1", "train.seed=-1", "train"),
        ("--set trian: ", "unknown key", "did you mean 'train'", KEYS),
        ("--set train: ", "not key.path=value", "--set train.epochs=10"),
        ("s.yaml:9: train.epochs: ", "greater than 0", "-3", "larger number"),
        ("--set train.seed: ", "greater than or equal to 0", "-1", "larger number"),
    )
