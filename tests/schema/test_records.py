"""Records in a schema: their columns are modalities, and a record's name stands for all of them."""

import pytest

from mmtoolkit import UserError, parse_schema
from mmtoolkit.base.yaml12 import read_yaml

PERSON = {"kind": "record", "columns": {"age": {"kind": "numeric"}, "sex": {"kind": "label"}}}


def schema_of(modalities=None, **more):
    modalities = (
        {"person": PERSON, "photo": {"kind": "image", "shape": [1, 28, 28]}} if modalities is None else modalities
    )
    return parse_schema({"name": "s", "data": {"kind": "mnist"}, "modalities": modalities, "model": "mvae", **more})


def faults(modalities, overrides=(), **more):
    data = {"name": "s", "data": {"kind": "mnist"}, "modalities": modalities, "model": "mvae", **more}
    with pytest.raises(UserError) as caught:
        parse_schema(data, overrides=overrides)
    return caught.value.faults


def test_columns_of_a_record_are_modalities_in_its_place():
    schema = schema_of()
    assert list(schema.units) == ["person", "photo"]
    assert list(schema.modalities) == ["age", "sex", "photo"]
    assert schema.modalities["age"].kind == "numeric"


def test_a_resolved_schema_with_a_record_reads_back_equal():
    schema = schema_of()
    data = read_yaml(schema.to_yaml(), "s").data
    assert list(data["modalities"]) == ["person", "photo"]
    again = parse_schema(data)
    assert again == schema
    learned = schema.with_learned(
        schema.data, {**schema.modalities, "sex": schema.modalities["sex"].with_options(classes=("f", "m"))}
    )
    assert learned.units["person"].columns["sex"].classes == ("f", "m")
    assert learned != schema


def test_each_works_among_the_columns_of_a_record():
    columns = {"answers": {"kind": "binary", "values": ["no", "yes"], "each": ["q1", "q2"]}, "age": {"kind": "numeric"}}
    assert list(schema_of({"person": {"kind": "record", "columns": columns}}).modalities) == ["q1", "q2", "age"]


def test_a_records_name_stands_for_its_columns_where_modalities_are_listed():
    schema = schema_of(
        data={"kind": "mnist", "supervision": {"paired": 0.5, "groups": [["person"], ["photo"]]}},
        evaluate=[
            {"kind": "elbo", "entries": [{"target": ["photo"], "given": ["person"]}]},
            {"kind": "imputation", "hide": {"person": 0.3}},
        ],
    )
    assert schema.data.supervision.groups == (("age", "sex"), ("photo",))
    assert schema.evaluate[0].entries[0].given == ("age", "sex")
    assert schema.evaluate[1].hide == {"age": 0.3, "sex": 0.3}


def test_overrides_reach_columns_and_the_network():
    schema = parse_schema(
        {"name": "s", "data": {"kind": "mnist"}, "modalities": {"person": PERSON}, "model": "mvae"},
        overrides=[
            "modalities.person.columns.age.likelihood=student_t",
            "modalities.person.network.width=32",
            "modalities.person.columns.sex.weight=2",
        ],
    )
    assert schema.modalities["age"].likelihood.kind == "student_t"
    assert schema.modalities["sex"].weight == 2
    assert schema.units["person"].network.width == 32
    assert schema.units["person"].network.residual


@pytest.mark.parametrize(
    ("modalities", "text"),
    [
        (
            {"person": PERSON, "age": {"kind": "numeric"}},
            "schema: modalities.person.columns.age: the modality 'age' exists already, from modalities.age; rename or "
            "remove one",
        ),
        (
            {"age": PERSON},
            "schema: modalities.age.columns.age: the modality 'age' exists already, from modalities.age; rename or "
            "remove one",
        ),
        (
            {"person": {"kind": "record", "columns": {"photo": {"kind": "image", "shape": [1, 28, 28]}}}},
            "schema: modalities.person.columns: photo is of kind image, and a column of a record has one number or one "
            "class, such as numeric without columns, label or binary; move it out of the record",
        ),
        (
            {"person": {"kind": "record", "columns": {"sizes": {"kind": "numeric", "columns": ["a", "b"]}}}},
            "schema: modalities.person.columns: sizes is of kind numeric, and a column of a record has one number or "
            "one class, such as numeric without columns, label or binary; move it out of the record",
        ),
        (
            {"person": {**PERSON, "network": "gru"}},
            "schema: modalities.person.network: gru has no networks for numbers, which those of a record are; choose "
            "mlp",
        ),
        (
            {"person": {"kind": "record", "columns": {"inner": PERSON}}},
            "schema: modalities.person.columns: inner is of kind record, and a column of a record has one number or "
            "one class, such as numeric without columns, label or binary; move it out of the record",
        ),
        ({"person": {"kind": "record", "columns": {}}}, "schema: modalities.person.columns: "),
        ({"person": {"kind": "record"}}, "schema: modalities.person.columns: is missing; add it"),
        (
            {"person": {**PERSON, "weight": 2}},
            "schema: modalities.person.weight: unknown key; the keys here are kind, columns, network",
        ),
        (
            {"person": {"kind": "record", "columns": {"age": {"kind": "numric"}}}},
            "schema: modalities.person.columns.age.kind: there is no modality of kind 'numric'; did you mean "
            "'numeric'?",
        ),
    ],
)
def test_faults_of_records(modalities, text):
    lines = faults(modalities)
    assert any(line.startswith(text) for line in lines), lines


def test_a_model_that_names_a_column_of_a_record_is_told_to_name_the_record():
    import mmtoolkit

    with pytest.raises(UserError, match=r"model.target: there is no modality 'age'; the modalities are person, photo"):
        mmtoolkit.build(mmtoolkit.CVAE(target="age"), schema_of().units)
