"""The schema: every fault at once with its place and remedy, defaults filled in, and the way there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.plugins import Plugins, load_plugins
from mmtoolkit.schema.schema import Schema, json_schema, parse_schema, read_schema, schema_path

SCHEMA = """\
name: mine
data: {kind: mnist}
modalities:
  image: {kind: image, shape: [1, 28, 28], network: mlp}
  label: {kind: label}
model: {kind: mvae}
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # so that faults read `s.yaml:LINE: …`
    return tmp_path


def faults(text: str | bytes, plugins: Plugins) -> list[str]:
    """What is wrong with a schema, read from s.yaml here."""
    Path("s.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as raised:
        read_schema("s.yaml", plugins=plugins)
    return raised.value.faults


def edited(old: str, new: str) -> str:
    assert SCHEMA.count(old) == 1
    return SCHEMA.replace(old, new)


# What is right.


@pytest.mark.parametrize("name", sorted(shipped.schemas()))
def test_catalogue_schemas_are_read(name: str, plugins: Plugins) -> None:
    schema = read_schema(name, plugins=plugins)
    assert schema.name == name
    likelihood = [] if name == "fashion_mini" else ["log_likelihood"]  # a minute's demo has no time for it
    assert [evaluator.kind for evaluator in schema.evaluate] == ["elbo", "prediction", *likelihood]


@pytest.mark.parametrize("name", sorted(shipped.schemas()))
def test_resolved_schema_reads_back_equal(name: str, plugins: Plugins, folder: Path) -> None:
    schema = read_schema(name, plugins=plugins)
    Path("resolved.yaml").write_text(schema.to_yaml())
    again = read_schema("resolved.yaml", plugins=plugins)
    assert again == schema
    assert again != schema.with_learned(schema.data, dict(reversed(schema.modalities.items())))
    assert again.to_yaml() == schema.to_yaml()


def test_resolved_schema_of_odd_names_reads_back_equal(plugins: Plugins, folder: Path) -> None:
    odd = ["type", "keys", "a.b", "a/b", "ü", "no", "1", "null", " x", "a: b", "- y", "#z", "two\nlines", ""]
    data = {
        "name": "no: 1",
        "data": {"kind": "mnist", "root": "1e3", "rows": {"train": 5}, "supervision": {"keep": 0.5}},
        "modalities": {name: {"kind": "label", "classes": ["yes", "no"], "column": name} for name in odd},
        "model": {"kind": "mvae", "subsets": {"k": 2, "sampling": "by_size"}},
        "train": {"learning_rate": 1e-4},
        "evaluate": [{"kind": "elbo", "entries": [{"target": odd, "given": ["a.b"]}]}],
    }
    schema = parse_schema(data, folder=folder, plugins=plugins)
    assert list(schema.modalities) == odd
    Path("resolved.yaml").write_text(schema.to_yaml())
    assert read_schema("resolved.yaml", plugins=plugins) == schema


def test_modalities_keep_their_order(plugins: Plugins, folder: Path) -> None:
    names = ["z", "a", "10", "9", "B"]
    lines = "".join(f"  '{name}': {{kind: label}}\n" for name in names)
    Path("s.yaml").write_text(f"name: x\ndata: {{kind: mnist}}\nmodel: {{kind: mvae}}\nmodalities:\n{lines}")
    assert list(read_schema("s.yaml", plugins=plugins).modalities) == names


def test_paths_are_relative_to_the_schema_and_kept_absolute(plugins: Plugins, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "s.yaml").write_text(edited("{kind: mnist}", "{kind: mnist, root: ../data}"))
    schema = read_schema("deep/s.yaml", plugins=plugins)
    assert schema.data.model_dump()["root"] == folder / "data"


def test_tilde_is_the_home_folder(plugins: Plugins, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    Path("s.yaml").write_text(edited("{kind: mnist}", "{kind: mnist, root: ~/data}"))
    assert read_schema("s.yaml", plugins=plugins).data.model_dump()["root"] == folder / "home" / "data"


def test_byte_order_mark_is_no_fault(plugins: Plugins, folder: Path) -> None:
    Path("s.yaml").write_text("\ufeff" + SCHEMA, encoding="utf-8")
    assert read_schema("s.yaml", plugins=plugins).name == "mine"


def test_given_data_is_left_as_it_is(plugins: Plugins) -> None:
    data = {
        "name": "x",
        "data": {"kind": "mnist"},
        "modalities": {"l": {"kind": "label", "each": ["a"]}},
        "model": {"kind": "mvae"},
    }
    before = repr(data)
    parse_schema(data, overrides=["model.latent_dim=3", "modalities.l.weight=2"], plugins=plugins)
    assert repr(data) == before


# `each`.


def test_each_stands_for_one_modality_a_name(plugins: Plugins, folder: Path) -> None:
    Path("s.yaml").write_text(edited("label: {kind: label}", "x: {kind: label, weight: 2, each: [a, 3, no, a.b]}"))
    modalities = read_schema("s.yaml", plugins=plugins).modalities
    assert list(modalities) == ["image", "a", "3", "no", "a.b"]
    assert {m.weight for name, m in modalities.items() if name != "image"} == {2}
    assert modalities["a"] == modalities["a.b"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (
            "label: {kind: label, each: [image, a, a]}",
            [
                "s.yaml:5: modalities.label.each.0: the modality 'image' is there already, from modalities.image; "
                "rename or remove one",
                "s.yaml:5: modalities.label.each.2: the modality 'a' is there already, from modalities.label.each.1; "
                "rename or remove one",
            ],
        ),
        *(
            (
                f"label: {{kind: label, each: {value}}}",
                ["s.yaml:5: modalities.label.each: must be a list of names; write each: [a, b]"],
            )
            for value in ("a", "[]", "{a: 1}", "null", "[1.5]", "[true]", "[[a]]", "[null]")
        ),
        (
            "label: {kind: label, each: a, weigt: 2}",
            [
                "s.yaml:5: modalities.label.each: must be a list of names; write each: [a, b]",
                "s.yaml:5: modalities.label.weigt: unknown key; did you mean 'weight'?; the keys here are KEYS",
            ],
        ),
        (
            "label: {kind: label, each: [a], column: b}",
            [
                "s.yaml:5: modalities.label.column: one column cannot serve each of several; remove it, the columns "
                "are those named in each"
            ],
        ),
        (
            "label: {kind: label, each: [a, b], weigt: 2}",
            [
                f"s.yaml:5: modalities.{name}.weigt: unknown key; did you mean 'weight'?; the keys here are KEYS"
                for name in "ab"
            ],
        ),
    ],
)
def test_faults_of_each(label: str, expected: list[str], plugins: Plugins, folder: Path) -> None:
    keys = ", ".join(plugins.components["modality", "label"].model_fields)
    assert faults(edited("label: {kind: label}", label), plugins) == [line.replace("KEYS", keys) for line in expected]


# What is wrong.


def test_all_faults_are_told_at_once_in_the_order_of_the_file(plugins: Plugins, folder: Path) -> None:
    text = """\
name: a/b
data: {kind: mnst}
modalities:
  image:
    kind: image
    shape: [2, 28, 28]
  label:
    kind: lable
  other: 3
model:
  kind: mvae
  latent_dim: -1
  subsets: {kk: 1, sampling: by_siz}
train: {epoch: 3, batch_size: no, learning_rate: .inf, seed: 1.5}
evaluate:
  - {kind: elbo, entries: [{targt: [image]}]}
  - {samples: 3}
  - {kind: prediction, predict: pint}
"""
    train = "epochs, sampling, batch_size, learning_rate, warmup_epochs, gradient_clip, early_stopping, seed"
    assert faults(text, plugins) == [
        "s.yaml:1: name: must be the name of a folder: no slash, no dot at the front, at most 200 bytes; change it",
        "s.yaml:2: data.kind: there is no source of kind 'mnst'; did you mean 'mnist'?; "
        f"the kinds are {', '.join(plugins.of_family('source'))}",
        "s.yaml:4: modalities.image: shape has 2 channels; give 1 for grey or 3 for RGB, as [3, 64, 64]",
        "s.yaml:8: modalities.label.kind: there is no modality of kind 'lable'; did you mean 'label'?; "
        f"the kinds are {', '.join(plugins.of_family('modality'))}",
        "s.yaml:9: modalities.other: must be a mapping such as {kind: …}, not 3; give its keys",
        "s.yaml:12: model.latent_dim: input should be greater than 0, not -1; give a larger number",
        "s.yaml:13: model.subsets.sampling: input should be 'uniform' or 'by_size', not 'by_siz'; "
        "did you mean 'by_size'?; give one of these",
        "s.yaml:13: model.subsets.kk: unknown key; did you mean 'k'?; the keys here are k, sampling",
        "s.yaml:14: train.batch_size: input should be a valid integer, unable to parse string as an integer, "
        "not 'no'; give a whole number",
        "s.yaml:14: train.learning_rate: input should be a finite number, not inf; give a finite number",
        "s.yaml:14: train.seed: input should be a valid integer, got a number with a fractional part, not 1.5; "
        "give a whole number",
        f"s.yaml:14: train.epoch: unknown key; did you mean 'epochs'?; the keys here are {train}",
        "s.yaml:16: evaluate.0.entries.0.target: is missing; add it",
        "s.yaml:16: evaluate.0.entries.0.targt: unknown key; did you mean 'target'?; the keys here are target, given",
        f"s.yaml:17: evaluate.1: has no kind; add kind: one of {', '.join(plugins.of_family('evaluator'))}",
        "s.yaml:18: evaluate.2.predict: input should be 'point' or 'sample', not 'pint'; did you mean 'point'?; "
        "give one of these",
    ]


def test_a_family_of_one_kind_needs_its_kind_too(plugins: Plugins, folder: Path) -> None:
    plugins = Plugins({key: cls for key, cls in plugins.components.items() if key[0] != "model" or key[1] == "mvae"})
    assert faults(edited("{kind: mvae}", "{latent_dim: 3}"), plugins) == [
        "s.yaml:6: model: has no kind; add kind: one of mvae"
    ]
    assert faults(edited("{kind: mvae}", "{kind: mva}"), plugins) == [
        "s.yaml:6: model.kind: there is no model of kind 'mva'; did you mean 'mvae'?; the kinds are mvae"
    ]
    assert faults(edited("{kind: mvae}", "{kind: mvae, latentdim: 3}"), plugins) == [
        "s.yaml:6: model.latentdim: unknown key; did you mean 'latent_dim'?; the keys here are kind, latent_dim, "
        "subsets, banks"
    ]


NO_MAPPING = (
    "s.yaml: is not a mapping; a schema has the keys name, data, modalities, model, train, evaluate; `mmt init TABLE` "
    "writes one"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- a\n",
            [NO_MAPPING],
        ),
        (
            "~\n",
            [NO_MAPPING],
        ),
        (
            "modalites: {}\n",
            [
                "s.yaml:1: name: is missing; add it",
                "s.yaml:1: data: is missing; add it",
                "s.yaml:1: modalities: is missing; add it",
                "s.yaml:1: model: is missing; add it",
                "s.yaml:1: modalites: unknown key; did you mean 'modalities'?; the keys here are name, data, "
                "modalities, model, train, evaluate",
            ],
        ),
        (b"name: \xff", ["s.yaml: is not UTF-8 text (byte 6); save it as UTF-8"]),
        ("", ["s.yaml: is empty; write a schema there (see `mmt list schemas` for some)"]),
        (
            SCHEMA + "name: again\n",
            ["s.yaml:7: name: stands twice, first in line 1; remove one"],
        ),
    ],
)
def test_files_that_are_no_schema(text: str | bytes, expected: list[str], plugins: Plugins, folder: Path) -> None:
    assert faults(text, plugins) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: mine",
            "name: 3",
            "s.yaml:1: name: input should be a valid string, not 3; give a text, in quotes if YAML reads it as "
            "something else",
        ),
        *(
            (
                "name: mine",
                f"name: {name}",
                "s.yaml:1: name: must be the name of a folder: no slash, no dot at the front, at most 200 bytes; "
                "change it",
            )
            for name in ("a/b", ".", "..", ".hidden", "a\\b", '""', "x" * 300, '"a\\n"', '"a\\0"')
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, root: 3}",
            "s.yaml:2: data.root: must be a path, not 3; give one, in quotes if YAML reads it as something else",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, root: ~nobody-here/x}",
            "s.yaml:2: data.root: ~nobody-here/x: is no path here: Could not determine home directory.; correct it",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, on_bad_cell: ignore}",
            "s.yaml:2: data.on_bad_cell: input should be 'error' or 'missing', not 'ignore'; give one of these",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, rows: {train: 0}}",
            "s.yaml:2: data.rows.train: input should be greater than 0, not 0; give a larger number",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: 2}}",
            "s.yaml:2: data.supervision.paired: input should be less than or equal to 1, not 2; give a smaller number",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: .1, keep: .1}}",
            "s.yaml:2: data.supervision: needs paired (a fraction of rows) or keep (a probability of cells), one of "
            "the two; change it",
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: .1, groups: [[image], [labl]]}}",
            "s.yaml:2: data.supervision.groups.1.0: there is no modality 'labl'; did you mean 'label'?; "
            "the modalities are image, label",
        ),
        (
            "[1, 28, 28]",
            "[1, 28, 10000000]",
            "s.yaml:4: modalities.image.shape.2: input should be less than or equal to 4096, not 10000000; give a "
            "smaller number",
        ),
        (
            "{kind: mvae}",
            "{kind: mvae, latent_dim: 1000000000}",
            "s.yaml:6: model.latent_dim: input should be less than or equal to 65536, not 1000000000; give a smaller "
            "number",
        ),
        (
            "[1, 28, 28]",
            "[1, 28]",
            "s.yaml:4: modalities.image.shape.2: is missing; add it",
        ),
        (
            "[1, 28, 28]",
            "[1, 28, x]",
            "s.yaml:4: modalities.image.shape.2: input should be a valid integer, unable to parse string as an "
            "integer, not 'x'; give a whole number",
        ),
        (
            "[1, 28, 28]",
            "[1, 4, 28]",
            None,
        ),
        (
            "{kind: label}",
            "{kind: label, classes: [a]}",
            "s.yaml:5: modalities.label.classes: a label needs two classes or more; name them, or remove the modality",
        ),
        (
            "{kind: label}",
            "",
            "s.yaml:5: modalities.label: must be a mapping such as {kind: …}, not None; give its keys",
        ),
        (
            "{kind: label}",
            "{kind: [label]}",
            "s.yaml:5: modalities.label.kind: there is no modality of kind \"['label']\"; did you mean 'label'?; "
            "the kinds are KINDS",
        ),
        (
            "{kind: label}",
            "{kind: label, weight: -1}",
            "s.yaml:5: modalities.label.weight: input should be greater than or equal to 0, not -1; give a larger "
            "number",
        ),
        (
            "{kind: label}",
            "{kind: label, family: x}",
            "s.yaml:5: modalities.label.family: unknown key; the keys here are KEYS",
        ),
        (
            "{kind: mvae}",
            "nonsense " + "x" * 5000,
            f"s.yaml:6: model: must be a mapping such as {{kind: …}}, not 'nonsense {'x' * 49}…; give its keys",
        ),
    ],
)
def test_one_fault(old: str, new: str, expected: str | None, plugins: Plugins, folder: Path) -> None:
    if expected is None:  # small sides are no fault of an MLP
        Path("s.yaml").write_text(edited(old, new))
        read_schema("s.yaml", plugins=plugins)
    else:
        kinds = ", ".join(plugins.of_family("modality"))
        keys = ", ".join(plugins.components["modality", "label"].model_fields)
        assert faults(edited(old, new), plugins) == [expected.replace("KINDS", kinds).replace("KEYS", keys)]


def test_no_modality_at_all(plugins: Plugins, folder: Path) -> None:
    text = "name: x\ndata: {kind: mnist}\nmodalities: {}\nmodel: {kind: mvae}\n"
    assert faults(text, plugins) == [
        "s.yaml:3: modalities: dictionary should have at least 1 item after validation, not 0; "
        "give another number of entries"
    ]


def test_an_uninstalled_kind_has_its_install_hint(
    plugins: Plugins, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plugins.yaml").write_text(
        "mmt-audio: {install: pip install mmt-audio, about: Sounds., kinds: {modality: [audio], source: [wav]}}\n"
    )
    monkeypatch.setattr(shipped, "registry", lambda: folder)
    assert faults(edited("kind: label", "kind: audio"), plugins) == [
        "s.yaml:5: modalities.label.kind: there is no modality of kind 'audio'; mmt-audio offers it: "
        "pip install mmt-audio"
    ]
    assert faults(edited("kind: mnist", "kind: audio"), plugins) == [
        "s.yaml:2: data.kind: there is no source of kind 'audio'; "
        f"the kinds are {', '.join(plugins.of_family('source'))}"
    ]


def test_faults_of_a_key_with_line_breaks_stay_on_one_line(plugins: Plugins, folder: Path) -> None:
    (fault,) = faults(SCHEMA + '"a\\nb\\e[31m": 1\n', plugins)
    assert fault.startswith('s.yaml:7: "a\\nb\\x1b[31m": unknown key; ')


# Where schemas are.


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mnst", "mnst: is neither a file nor a schema of the catalogue; did you mean 'mnist'?; "),
        ("Mnist", "Mnist: is neither a file nor a schema of the catalogue; did you mean 'mnist'?; "),
        ("zzz", "zzz: is neither a file nor a schema of the catalogue; `mmt list schemas` shows them"),
        ("x.yaml", "x.yaml: there is no such file; give a schema file, or a name from `mmt list schemas`"),
        ("a/b", "a/b: there is no such file; give a schema file, or a name from `mmt list schemas`"),
        (".", ".: is a folder; give the schema file in it"),
        ("a\0b", "a\\x00b: is neither a file nor a schema of the catalogue; `mmt list schemas` shows them"),
        ("x" * 5000, f"{'x' * 5000}: cannot be read: File name too long; check the path"),
    ],
)
def test_schemas_that_are_not_there(name: str, fault: str, folder: Path) -> None:
    with pytest.raises(UserError) as raised:
        schema_path(name)
    assert raised.value.faults[0].startswith(fault)


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="there is no such file here")
def test_a_file_that_cannot_be_read(plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        read_schema("/proc/self/mem", plugins=plugins)
    assert raised.value.faults == [
        "/proc/self/mem: cannot be read: Input/output error; check the path and its permissions"
    ]


def test_a_folder_whose_name_is_no_text(plugins: Plugins, folder: Path) -> None:
    odd = folder / "\udcff"
    odd.mkdir()
    (odd / "s.yaml").write_text(edited("{kind: mnist}", "{kind: mnist, root: data}"))
    with pytest.raises(UserError) as raised:
        read_schema(odd / "s.yaml", plugins=plugins)
    assert raised.value.faults == [
        f"{folder}/\\udcff/s.yaml:2: data.root: data: lies in a folder whose name is not UTF-8; rename that folder"
    ]


def test_a_file_goes_before_the_catalogue(folder: Path) -> None:
    assert schema_path("mnist") == shipped.schemas()["mnist"]
    (folder / "mnist").write_text("")
    assert schema_path("mnist") == Path("mnist")


# From Python, and for editors.


def test_faults_of_plain_data_name_no_file(plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        parse_schema({"name": "x", "data": {"kind": "mnist"}, "model": {"kind": "mvae"}}, plugins=plugins)
    assert raised.value.faults == ["schema: modalities: is missing; add it"]


def test_components_may_be_given_as_they_are(plugins: Plugins) -> None:
    mvae: Any = plugins.components["model", "mvae"]
    model = mvae(latent_dim=3)
    data = {"name": "x", "data": {"kind": "mnist"}, "modalities": {"l": {"kind": "label"}}, "model": model}
    assert parse_schema(data, plugins=plugins).model == model


def test_at_names_the_deepest_place_that_was_written(plugins: Plugins, folder: Path) -> None:
    Path("s.yaml").write_text(SCHEMA)
    schema = read_schema("s.yaml", plugins=plugins)
    assert schema.at("modalities", "label") == "s.yaml:5: modalities.label"
    assert schema.at("modalities", "label", "classes") == "s.yaml:5: modalities.label.classes"
    assert schema.at("train", "epochs") == "s.yaml:1: train.epochs"


def test_what_was_learned_is_kept_and_where_it_stood_too(plugins: Plugins, folder: Path) -> None:
    Path("s.yaml").write_text(SCHEMA)
    schema = read_schema("s.yaml", plugins=plugins)
    kind: Any = type(schema.modalities["label"])
    learned = schema.with_learned(schema.data, {**schema.modalities, "label": kind(classes=("a", "b"))})
    assert "classes: [a, b]" in learned.to_yaml()
    assert learned.at("model") == "s.yaml:6: model"


def test_without_plugins_the_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMT_PLUGINS", "")
    with pytest.raises(UserError) as raised:
        read_schema("mnist")
    assert raised.value.faults == ["no modality is installed; MMT_PLUGINS may leave them out, or reinstall mmtoolkit"]


def test_json_schema_describes_each_kind(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    families = schema["properties"]
    assert set(families["model"]["discriminator"]["mapping"]) == set(plugins.of_family("model"))
    for kind, reference in families["modalities"]["additionalProperties"]["discriminator"]["mapping"].items():
        described = schema["$defs"][reference.rsplit("/", 1)[-1]]["properties"]
        assert described["kind"]["const"] == kind
        assert described["each"]["items"] == {"type": "string"}
    assert families["evaluate"]["default"] == [{"kind": "elbo"}, {"kind": "prediction"}]
    assert schema["additionalProperties"] is False


def test_schema_without_evaluate_holds_the_default(plugins: Plugins) -> None:
    data = {"name": "x", "data": {"kind": "mnist"}, "modalities": {"l": {"kind": "label"}}, "model": {"kind": "mvae"}}
    schema = parse_schema(data, plugins=plugins)
    assert isinstance(schema, Schema)
    assert [e.kind for e in schema.evaluate] == ["elbo", "prediction"]
    assert parse_schema({**data, "evaluate": []}, plugins=plugins).evaluate == []
