"""Options that are components: read from words and mappings, saved, described, and with the places of their faults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facts import assert_facts
from lines import assert_lines
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue.shipped import find_data_set
from mmtoolkit.components import Evaluator, Model, Network, Part, Unit
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.evaluators import Elbo, Prediction
from mmtoolkit.schema.schema import Schema, json_schema, parse_schema, read_schema


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    deep: Part[Evaluator] | None = None


class Nest(Model):
    """A model that has components among its options."""

    kind: Literal["nest"] = "nest"
    inner: Part[Evaluator] = Elbo()
    several: tuple[Part[Evaluator], ...] = ()
    named: Mapping[str, Part[Evaluator]] = Field(default_factory=dict)
    nested: Options = Options()

    def build(self, modalities: Mapping[str, Unit]) -> Network:
        raise NotImplementedError


SCHEMA = """\
name: mine
data: {kind: mnist}
modalities: {label: {kind: label}}
model:
  kind: nest
  inner: prediction
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    plugins = load_plugins()
    plugins.components["model", "nest"] = Nest
    return plugins


def model_of(schema: Schema) -> Nest:
    assert isinstance(schema.model, Nest)
    return schema.model


def parsed(plugins: Plugins, model: Any) -> Nest:
    data = {"name": "x", "data": "mnist", "modalities": {"label": "label"}, "model": model}
    return model_of(parse_schema(data, plugins=plugins))


def test_a_word_stands_for_a_kind_with_its_defaults(plugins: Plugins) -> None:
    assert parsed(plugins, "nest") == Nest()
    assert parsed(plugins, {"kind": "nest", "inner": "prediction"}).inner == Prediction()
    assert Nest.model_validate({"inner": "prediction"}).inner == Prediction()  # of what is installed


def test_a_mapping_and_an_instance(plugins: Plugins) -> None:
    assert parsed(plugins, {"kind": "nest", "inner": {"kind": "elbo", "samples": 3}}).inner == Elbo(samples=3)
    mine = Elbo(samples=4)
    assert parsed(plugins, {"kind": "nest", "inner": mine}).inner == mine
    assert Nest(inner=mine).inner is mine


def test_all_options_are_saved_and_come_back(plugins: Plugins) -> None:
    model = Nest(inner=Elbo(samples=3), several=(Prediction(details=True),), named={"a": Elbo()})
    saved = model.model_dump(mode="json")
    assert saved["inner"] == {"kind": "elbo", "entries": None, "unsupported": "error", "samples": 3}
    assert saved["several"][0]["details"] is True
    assert Nest.model_validate(saved) == Nest.model_validate_json(model.model_dump_json()) == model
    schema = parse_schema(
        {"name": "x", "data": "mnist", "modalities": {"label": "label"}, "model": model}, plugins=plugins
    )
    assert "inner:" in schema.to_yaml()


def test_a_paths_folder_reaches_the_parts_of_parts(plugins: Plugins, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Reads(Evaluator):
        kind: Literal["reads"] = "reads"

        def model_post_init(self, context: Any) -> None:
            seen.append(context)

        def evaluate(self, run: Any, split: str) -> Any:
            raise NotImplementedError

    own = Plugins({**plugins.components, ("evaluator", "reads"): Reads})
    parsed(own, {"kind": "nest", "nested": {"deep": "reads"}})
    assert seen[0]["plugins"] is own
    assert "folder" in seen[0]


def test_parts_are_walked_depth_first_with_their_paths() -> None:
    elbo, prediction = Elbo(), Prediction()
    model = Nest(inner=elbo, several=(prediction, elbo), named={"a.b": prediction}, nested=Options(deep=elbo))
    assert list(model.parts()) == [
        ((), model),
        (("inner",), elbo),
        (("several", 0), prediction),
        (("several", 1), elbo),
        (("named", "a.b"), prediction),
        (("nested", "deep"), elbo),
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("inner: predicton", ("s.yaml:6: model.inner: ", "no evaluator of kind 'predicton'", "'prediction'", "KINDS")),
        ("inner: {kind: predicton}", ("s.yaml:6: model.inner.kind: ", "no evaluator", "'prediction'", "KINDS")),
        ("inner: {kind: mvae}", ("s.yaml:6: model.inner.kind: ", "no evaluator", "mvae is a kind of model", "KINDS")),
        ("inner: {samples: 3}", ("s.yaml:6: model.inner: ", "no kind", "add kind: one of", "KINDS")),
        ("inner: 3", ("s.yaml:6: model.inner: ", "kind of evaluator", "mapping", "not 3", "give its keys")),
        ("inner: {kind: elbo, sample: 3}", ("s.yaml:6: model.inner.sample: ", "unknown key", "'samples'", "kind, ")),
        ("inner: {kind: elbo, samples: -3}", ("s.yaml:6: model.inner.samples: ", "greater than 0", "-3")),
        ("several: [elbo, {kind: elbo, sample: 3}]", ("s.yaml:6: model.several.1.sample: ", "'samples'", "entries")),
        ("several: [elbo, elb]", ("s.yaml:6: model.several.1: ", "no evaluator of kind 'elb'", "'elbo'")),
        ("named: {a.b: {kind: elbo, sample: 3}}", ('s.yaml:6: model.named."a.b".sample: ', "'samples'")),
        ("nested: {deep: {kind: elbo, sample: 3}}", ("s.yaml:6: model.nested.deep.sample: ", "'samples'")),
        ("nested: {depe: elbo}", ("s.yaml:6: model.nested.depe: ", "unknown key", "did you mean 'deep'")),
    ],
)
def test_faults_have_the_whole_path(
    model: str, expected: tuple[str, ...], plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCHEMA.replace("inner: prediction", model))
    with pytest.raises(UserError) as raised:
        read_schema("s.yaml", plugins=plugins)
    kinds = ", ".join(plugins.of_family("evaluator"))
    assert_lines(raised.value.faults, [kinds if fact == "KINDS" else fact for fact in expected])


def test_a_part_of_another_family_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be of the family evaluator, not model"):
        Nest.model_validate({"inner": Nest()})
    with pytest.raises(ValidationError, match="no evaluator of kind foo; the kinds are"):
        Nest.model_validate({"inner": "foo"})


@pytest.mark.parametrize(
    ("overrides", "inner", "notes"),
    [
        (["model.inner=elbo"], Elbo(), []),
        (["model.inner.details=true"], Prediction(details=True), []),  # of a word
        (["model.inner={kind: elbo, samples: 3}"], Elbo(samples=3), []),
        (["model.inner.kind=elbo"], Elbo(), []),
        (["model.inner.samples=3", "model.inner.kind=elbo"], Elbo(samples=3), []),
        (
            ["model.inner.details=true", "model.inner.kind=elbo"],
            Elbo(),
            [("--set model.inner.kind=elbo: ", "dropped details", "elbo does not have")],
        ),
        (["model.inner=null"], Elbo(), []),
    ],
)
def test_overrides_reach_into_parts(
    overrides: list[str], inner: Evaluator, notes: list[tuple[str, ...]], plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(SCHEMA)
    schema = read_schema(tmp_path / "s.yaml", overrides, plugins)
    assert model_of(schema).inner == inner
    assert_lines(schema.notes, *notes)


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("model.inner.sample=3", ("--set model.inner.sample: ", "unknown key", "'samples'")),
        ("model.inner.kind=elb", ("--set model.inner.kind: ", "'elb'", "'elbo'")),
        ("model.inner=elb", ("--set model.inner: ", "'elb'", "'elbo'")),
        ("model.kind.x=3", ("--set model.kind.x: ", "model.kind has no keys")),
    ],
)
def test_faults_of_overrides_in_parts(override: str, facts: tuple[str, ...], plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCHEMA)
    with pytest.raises(UserError) as raised:
        read_schema(tmp_path / "s.yaml", [override], plugins)
    assert_lines(raised.value.faults, facts)


def test_the_json_schema_of_a_part_is_that_of_its_family(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    described = schema["$defs"]["Nest"]["properties"]
    assert described["inner"]["$ref"] == described["several"]["items"]["$ref"] == "#/$defs/evaluator"
    assert described["inner"]["default"]["kind"] == "elbo"
    mapping, words = schema["$defs"]["evaluator"]["anyOf"]
    assert set(mapping["discriminator"]["mapping"]) == set(plugins.of_family("evaluator"))
    assert set(words["enum"]) == set(plugins.of_family("evaluator")) - {"classifier", "coherence"}  # they need options


def test_run_json_names_the_plugin_of_a_part(tmp_path: Path) -> None:
    import torch

    from mmtoolkit.runs.provenance import provenance
    from mmtoolkit.training.compute import Compute

    file = tmp_path / "mine.py"
    file.write_text(
        "from typing import Literal\nfrom mmtoolkit import Evaluator, hookimpl\n\n\n"
        "class Mine(Evaluator):\n    kind: Literal['mine'] = 'mine'\n\n"
        "    def evaluate(self, run, split):\n        raise NotImplementedError\n\n\n"
        "@hookimpl\ndef mmt_components():\n    return [Mine]\n"
    )
    plugins = load_plugins([file])
    plugins.components["model", "nest"] = Nest
    source = {"kind": "fashion_mini", "root": str(find_data_set("fashion_mini"))}
    data = {"name": "x", "data": source, "modalities": {"label": "label"}}
    for model, names in (({"kind": "nest"}, []), ({"kind": "nest", "nested": {"deep": "mine"}}, ["mine"])):
        schema = parse_schema({**data, "model": model}, plugins=plugins)
        record = provenance(schema, plugins, torch.device("cpu"), "32-true", 1, Compute(1, "torch"), "now")
        assert [plugin["name"] for plugin in record["plugins"] if plugin["checksum"]] == names
    assert_facts(str(record["plugins"]), "'name': 'mine'", "checksum")
