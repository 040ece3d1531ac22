"""The schema: every fault at once with its place and remedy, defaults filled in, and the way there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facts import assert_facts
from lines import assert_lines
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue import shipped
from mmtoolkit.components.plugins import Plugins, load_plugins
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
    best = name in {"fashion_mini-best", "mnist-best"}  # at pictures given a label
    # A minute's demo has no time for it, and these are not made for it.
    likelihood = [] if name.startswith("fashion_mini") or best else ["log_likelihood"]
    # Views of a digit on pictures of their own are compared by their classes, which the model does not see.
    quality = ["coherence", "latent"] if name.startswith("polymnist") else ["prediction"]
    quality += ["coherence"] if best else []
    assert [evaluator.kind for evaluator in schema.evaluate] == ["elbo", *quality, *likelihood]


@pytest.mark.parametrize("name", sorted(shipped.schemas()))
def test_resolved_schema_reads_back_equal(name: str, plugins: Plugins, folder: Path) -> None:
    schema = read_schema(name, plugins=plugins)
    Path("resolved.yaml").write_text(schema.to_yaml())
    again = read_schema("resolved.yaml", plugins=plugins)
    assert again == schema
    assert again != schema.model_copy(update={"units": dict(reversed(schema.units.items()))})
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


def test_parsing_changes_no_data(plugins: Plugins) -> None:
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
                ("s.yaml:5: modalities.label.each.0: ", "'image'", "modalities.image", "rename or remove"),
                ("s.yaml:5: modalities.label.each.2: ", "'a'", "modalities.label.each.1", "rename or remove"),
            ],
        ),
        *(
            (
                f"label: {{kind: label, each: {value}}}",
                [("s.yaml:5: modalities.label.each: ", "list of names", "each: [a, b]")],
            )
            for value in ("a", "[]", "{a: 1}", "null", "[1.5]", "[true]", "[[a]]", "[null]")
        ),
        (
            "label: {kind: label, each: a, weigt: 2}",
            [
                ("s.yaml:5: modalities.label.each: ", "list of names", "each: [a, b]"),
                ("s.yaml:5: modalities.label.weigt: ", "unknown key", "'weight'", "KEYS"),
            ],
        ),
        (
            "label: {kind: label, each: [a], column: b}",
            [("s.yaml:5: modalities.label.column: ", "one column", "several", "remove it", "each")],
        ),
        (
            "label: {kind: label, each: [a, b], weigt: 2}",
            [(f"s.yaml:5: modalities.{name}.weigt: ", "unknown key", "'weight'", "KEYS") for name in "ab"],
        ),
    ],
)
def test_faults_of_each(label: str, expected: list[tuple[str, ...]], plugins: Plugins, folder: Path) -> None:
    keys = ", ".join(plugins.components["modality", "label"].model_fields)
    lines = faults(edited("label: {kind: label}", label), plugins)
    assert_lines(lines, *([keys if fact == "KEYS" else fact for fact in facts] for facts in expected))


# What is wrong.


def test_all_faults_are_reported_at_once_in_the_order_of_the_file(plugins: Plugins, folder: Path) -> None:
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
    train = "epochs, sampling, batch_size, accumulate, hide, optimizer, learning_rate, schedule, beta, warmup_epochs, "
    assert_lines(
        faults(text, plugins),
        ("s.yaml:1: name: ", "folder", "no slash", "200 bytes", "change it"),
        ("s.yaml:2: data.kind: ", "'mnst'", "'mnist'", ", ".join(plugins.of_family("source"))),
        ("s.yaml:4: modalities.image: ", "2 channels", "give 1", "or 3", "[3, 64, 64]"),
        ("s.yaml:8: modalities.label.kind: ", "'lable'", "'label'", ", ".join(plugins.of_family("modality"))),
        ("s.yaml:9: modalities.other: ", "mapping", "{kind: …}", "not 3", "give its keys"),
        ("s.yaml:12: model.latent_dim: ", "greater than 0", "-1", "larger number"),
        ("s.yaml:13: model.subsets.sampling: ", "'uniform' or 'by_size'", "'by_siz'", "did you mean 'by_size'"),
        ("s.yaml:13: model.subsets.kk: ", "unknown key", "did you mean 'k'", "k, sampling"),
        ("s.yaml:14: train.batch_size: ", "integer", "'no'", "whole number"),
        ("s.yaml:14: train.learning_rate: ", "inf", "finite number"),
        ("s.yaml:14: train.seed: ", "integer", "1.5", "whole number"),
        ("s.yaml:14: train.epoch: ", "unknown key", "'epochs'", train),
        ("s.yaml:16: evaluate.0.entries.0.target: ", "missing", "add it"),
        ("s.yaml:16: evaluate.0.entries.0.targt: ", "unknown key", "'target'", "target, given"),
        ("s.yaml:17: evaluate.1: ", "no kind", "add kind", ", ".join(plugins.of_family("evaluator"))),
        ("s.yaml:18: evaluate.2.predict: ", "'point' or 'sample'", "'pint'", "did you mean 'point'"),
    )


def test_a_family_of_one_kind_needs_its_kind_too(plugins: Plugins, folder: Path) -> None:
    plugins = Plugins({key: cls for key, cls in plugins.components.items() if key[0] != "model" or key[1] == "mvae"})
    for model, *facts in (
        ("{latent_dim: 3}", "s.yaml:6: model: ", "no kind", "add kind", "mvae"),
        ("{kind: mva}", "s.yaml:6: model.kind: ", "'mva'", "did you mean 'mvae'", "kinds are mvae"),
        (
            "{kind: mvae, latentdim: 3}",
            "s.yaml:6: model.latentdim: ",
            "unknown key",
            "'latent_dim'",
            "kind, latent_dim",
        ),
    ):
        assert_lines(faults(edited("{kind: mvae}", model), plugins), facts)


KEYS = "name, data, modalities, model, train, evaluate"
NO_MAPPING = ("s.yaml: ", "not a mapping", KEYS, "mmt init TABLE")


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
                *((f"s.yaml:1: {key}: ", "missing", "add it") for key in ("name", "data", "modalities", "model")),
                ("s.yaml:1: modalites: ", "unknown key", "'modalities'", KEYS),
            ],
        ),
        (b"name: \xff", [("s.yaml: ", "not UTF-8", "byte 6", "save it as UTF-8")]),
        ("", [("s.yaml: ", "empty", "mmt list schemas")]),
        (SCHEMA + "name: again\n", [("s.yaml:7: name: ", "twice", "line 1", "remove")]),
    ],
)
def test_files_that_are_no_schema(
    text: str | bytes, expected: list[tuple[str, ...]], plugins: Plugins, folder: Path
) -> None:
    assert_lines(faults(text, plugins), *expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: mine",
            "name: 3",
            ("s.yaml:1: name: ", "string", "not 3", "quotes"),
        ),
        *(
            (
                "name: mine",
                f"name: {name}",
                ("s.yaml:1: name: ", "folder", "no slash", "no dot", "200 bytes", "change it"),
            )
            for name in ("a/b", ".", "..", ".hidden", "a\\b", '""', "x" * 300, '"a\\n"', '"a\\0"')
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, root: 3}",
            ("s.yaml:2: data.root: ", "path", "not 3", "quotes"),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, root: ~nobody-here/x}",
            ("s.yaml:2: data.root: ~nobody-here/x: ", "path", "Could not determine home directory", "correct it"),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, on_bad_cell: ignore}",
            ("s.yaml:2: data.on_bad_cell: ", "'error' or 'missing'", "'ignore'", "give one"),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, rows: {train: 0}}",
            ("s.yaml:2: data.rows.train: ", "greater than 0", "not 0", "larger number"),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: 2}}",
            ("s.yaml:2: data.supervision.paired: ", "less than or equal to 1", "not 2", "smaller number"),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: .1, keep: .1}}",
            ("s.yaml:2: data.supervision: ", "paired (a fraction of rows)", "keep (a probability of cells)", "; "),
        ),
        (
            "{kind: mnist}",
            "{kind: mnist, supervision: {paired: .1, groups: [[image], [labl]]}}",
            ("s.yaml:2: data.supervision.groups.1.0: ", "'labl'", "did you mean 'label'", "image, label"),
        ),
        (
            "[1, 28, 28]",
            "[1, 28, 10000000]",
            ("s.yaml:4: modalities.image.shape.2: ", "less than or equal to 4096", "10000000", "smaller number"),
        ),
        (
            "{kind: mvae}",
            "{kind: mvae, latent_dim: 1000000000}",
            ("s.yaml:6: model.latent_dim: ", "less than or equal to 65536", "1000000000", "smaller number"),
        ),
        (
            "[1, 28, 28]",
            "[1, 28]",
            ("s.yaml:4: modalities.image.shape.2: ", "missing", "add it"),
        ),
        (
            "[1, 28, 28]",
            "[1, 28, x]",
            ("s.yaml:4: modalities.image.shape.2: ", "integer", "'x'", "whole number"),
        ),
        (
            "[1, 28, 28]",
            "[1, 4, 28]",
            None,
        ),
        (
            "{kind: label}",
            "{kind: label, classes: [a]}",
            ("s.yaml:5: modalities.label.classes: ", "two classes", "name them", "remove the modality"),
        ),
        (
            "{kind: label}",
            "",
            ("s.yaml:5: modalities.label: ", "mapping", "{kind: …}", "None", "give its keys"),
        ),
        (
            "{kind: label}",
            "{kind: [label]}",
            ("s.yaml:5: modalities.label.kind: ", "\"['label']\"", "did you mean 'label'", "KINDS"),
        ),
        (
            "{kind: label}",
            "{kind: label, weight: -1}",
            ("s.yaml:5: modalities.label.weight: ", "greater than or equal to 0", "-1", "larger number"),
        ),
        (
            "{kind: label}",
            "{kind: label, family: x}",
            ("s.yaml:5: modalities.label.family: ", "unknown key", "KEYS"),
        ),
        (
            "{kind: mvae}",
            "nonsense " + "x" * 5000,
            ("s.yaml:6: model: ", f"no model of kind 'nonsense {'x' * 49}…", "the kinds are mvae, vae"),
        ),
        (
            "{kind: mvae}",
            "[mvae]",
            ("s.yaml:6: model: ", "kind of model", "mapping", "{kind: …}", "not ['mvae']", "give its keys"),
        ),
    ],
)
def test_one_fault(old: str, new: str, expected: tuple[str, ...] | None, plugins: Plugins, folder: Path) -> None:
    if expected is None:  # small sides are no fault of an MLP
        Path("s.yaml").write_text(edited(old, new))
        read_schema("s.yaml", plugins=plugins)
    else:
        lists = {
            "KINDS": ", ".join(plugins.of_family("modality")),
            "KEYS": ", ".join(plugins.components["modality", "label"].model_fields),
        }
        assert_lines(faults(edited(old, new), plugins), [lists.get(fact, fact) for fact in expected])


def test_no_modality_at_all(plugins: Plugins, folder: Path) -> None:
    text = "name: x\ndata: {kind: mnist}\nmodalities: {}\nmodel: {kind: mvae}\n"
    assert_lines(faults(text, plugins), ("s.yaml:3: modalities: ", "at least 1 item", "not 0", "number of entries"))


def test_an_uninstalled_kind_has_its_install_hint(
    plugins: Plugins, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plugins.yaml").write_text(
        "mmt-audio: {install: pip install mmt-audio, about: Sounds., kinds: {modality: [audio], source: [wav]}}\n"
    )
    monkeypatch.setattr(shipped, "registry", lambda: folder)
    lines = faults(edited("kind: label", "kind: audio"), plugins)
    assert_lines(lines, ("s.yaml:5: modalities.label.kind: ", "'audio'", "mmt-audio", "pip install mmt-audio"))
    lines = faults(edited("kind: mnist", "kind: audio"), plugins)
    assert_lines(lines, ("s.yaml:2: data.kind: ", "'audio'", ", ".join(plugins.of_family("source"))))
    assert "pip install" not in lines[0]


def test_faults_of_a_key_with_line_breaks_stay_on_one_line(plugins: Plugins, folder: Path) -> None:
    (fault,) = faults(SCHEMA + '"a\\nb\\e[31m": 1\n', plugins)
    assert_lines([fault], ('s.yaml:7: "a\\nb\\x1b[31m": ', "unknown key"))


# Where schemas are.


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("mnst", ("mnst: ", "neither a file", "catalogue", "did you mean 'mnist'")),
        ("Mnist", ("Mnist: ", "neither a file", "catalogue", "did you mean 'mnist'")),
        ("zzz", ("zzz: ", "neither a file", "catalogue", "`mmt list schemas`")),
        ("x.yaml", ("x.yaml: ", "no such file", "give a schema file", "`mmt list schemas`")),
        ("a/b", ("a/b: ", "no such file", "give a schema file", "`mmt list schemas`")),
        (".", (".: ", "is a folder", "give the schema file")),
        ("a\0b", ("a\\x00b: ", "neither a file", "catalogue", "`mmt list schemas`")),
        ("x" * 5000, ("x" * 5000 + ": ", "cannot be read", "File name too long", "check the path")),
    ],
)
def test_schemas_that_are_not_there(name: str, facts: tuple[str, ...], folder: Path) -> None:
    with pytest.raises(UserError) as raised:
        schema_path(name)
    assert_lines(raised.value.faults, facts)


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="there is no such file here")
def test_a_file_that_cannot_be_read(plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        read_schema("/proc/self/mem", plugins=plugins)
    assert_lines(raised.value.faults, ("/proc/self/mem: ", "cannot be read", "Input/output error", "permissions"))


def test_a_folder_whose_name_is_no_text(plugins: Plugins, folder: Path) -> None:
    odd = folder / "\udcff"
    odd.mkdir()
    (odd / "s.yaml").write_text(edited("{kind: mnist}", "{kind: mnist, root: data}"))
    with pytest.raises(UserError) as raised:
        read_schema(odd / "s.yaml", plugins=plugins)
    assert_lines(
        raised.value.faults, (f"{folder}/\\udcff/s.yaml:2: data.root: data: ", "folder", "not UTF-8", "rename")
    )


def test_a_file_goes_before_the_catalogue(folder: Path) -> None:
    assert schema_path("mnist") == shipped.schemas()["mnist"]
    (folder / "mnist").write_text("")
    assert schema_path("mnist") == Path("mnist")


# From Python, and for editors.


def test_faults_of_plain_data_name_no_file(plugins: Plugins) -> None:
    with pytest.raises(UserError) as raised:
        parse_schema({"name": "x", "data": {"kind": "mnist"}, "model": {"kind": "mvae"}}, plugins=plugins)
    assert_lines(raised.value.faults, ("schema: modalities: ", "missing", "add it"))


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


def test_learned_options_are_in_the_schema_whose_keys_keep_their_lines(plugins: Plugins, folder: Path) -> None:
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
    assert_facts(str(raised.value), "no modality is installed", "MMT_PLUGINS", "reinstall mmtoolkit")


def test_json_schema_describes_each_kind(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    families = schema["properties"]
    assert families["model"]["$ref"] == "#/$defs/model"
    mapping, words = schema["$defs"]["model"]["anyOf"]
    assert set(mapping["discriminator"]["mapping"]) == set(words["enum"]) == set(plugins.of_family("model"))
    assert families["modalities"]["additionalProperties"] == {"$ref": "#/$defs/modality"}
    mapping, words = schema["$defs"]["modality"]["anyOf"]
    assert "label" in words["enum"]
    assert "image" not in words["enum"]  # it needs a shape
    for kind, reference in mapping["discriminator"]["mapping"].items():
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
