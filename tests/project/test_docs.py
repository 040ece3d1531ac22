"""The documentation: its examples run, its schemas are read, its commands exist, its reference leaves nothing out."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import mmtoolkit
from mmtoolkit import MVAE, Batch, Observed, build, load_plugins, parse_schema, read_schema
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components import FAMILIES, Component, Modality
from toys import seeded

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
PAGES = sorted(DOCS.rglob("*.md"))
COUNTS = DOCS.parent / "plugins" / "mmt-counts" / "mmt_counts.py"
PLUGINS = (EXAMPLES / "my_counts.py", COUNTS, EXAMPLES / "my_model.py")
_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        for block in _FENCE.finditer(page.read_text(encoding="utf-8")):
            if block[1] == language and not block[2].startswith("--8<--"):
                line = page.read_text(encoding="utf-8")[: block.start()].count("\n") + 2
                found.append(pytest.param(block[2], id=f"{page.stem}-{line}"))
    return found


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)  # as MkDocs does
        spec.loader.exec_module(module)
    return module


def run_example(name: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numberless(text: str) -> list[str]:
    """The lines of an output without what may differ between machines: numbers, and which labels were drawn."""
    text = re.sub(r"\['.*'\]", "[…]", text.strip())
    return [re.sub(r"-?\d+(\.\d+)?", "#", line) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "core_loop.py",
        "explaining.py",
        "features.py",
        "lightning_module.py",
        "own_loop.py",
        "python_api.py",
        "scikit_learn.py",
        "using_a_run.py",
        "watcher.py",
        "wrong_cells.py",
    ],
)
def test_example_prints_what_its_page_shows(name: str) -> None:
    printed = numberless(run_example(name))
    shown = [numberless(block.values[0]) for block in blocks("text")]
    assert printed in shown


@pytest.mark.slow
def test_core_loop_learns() -> None:
    first, last = re.search(r"first ([\d.]+), last ([\d.]+)", run_example("core_loop.py")).groups()  # type: ignore[union-attr]
    assert float(last) < 0.2 * float(first)


@pytest.mark.slow
def test_rubins_interval_holds_the_slope_and_that_of_one_table_does_not() -> None:
    pytest.importorskip("statsmodels")
    printed = run_example("rubin.py")
    assert numberless(printed) in [numberless(block.values[0]) for block in blocks("text")]
    (slope,) = re.findall(r"slope is ([\d.]+)", printed)
    once, often = [(float(low), float(high)) for low, high in re.findall(r"interval ([\d.]+) to ([\d.]+)", printed)]
    assert not once[0] < float(slope) < once[1]
    assert often[0] < float(slope) < often[1]


def test_the_overview_names_every_kind_of_ours() -> None:
    overview = (DOCS / "index.md").read_text(encoding="utf-8")
    ours = [kind for (_, kind), cls in load_plugins().components.items() if cls.__module__ != "mmt_counts"]
    assert len(ours) > 20
    assert [kind for kind in ours if f"`{kind}`" not in overview] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_table_has_a_head(page: Path) -> None:
    blocks_of_lines = page.read_text(encoding="utf-8").split("\n\n")
    tables = [block.strip().splitlines() for block in blocks_of_lines if block.lstrip().startswith("|")]
    assert [table[0] for table in tables if not re.fullmatch(r"[|:\- ]+", "".join(table[1:2]))] == []


def test_every_benchmark_that_is_named_is_there() -> None:
    files = [*PAGES, *(DOCS.parent / "mmtoolkit").rglob("*.py"), *DOCS.parent.glob("*.md")]
    named = {name for file in files for name in re.findall(r"benchmarks/\w+\.py", file.read_text(encoding="utf-8"))}
    assert named
    assert [name for name in named if not (DOCS.parent / name).is_file()] == []


def component(family: str, kind: str) -> Any:
    return load_plugins(PLUGINS).components[family, kind]


def is_schema(data: Any) -> bool:
    return isinstance(data, dict) and {"data", "modalities", "model"} <= set(data)


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_is_read_and_complete_schemas_are_right(text: str) -> None:
    data = read_yaml(text, "block").data
    if is_schema(data):
        schema = parse_schema(data, plugins=load_plugins(PLUGINS))
        assert parse_schema(read_yaml(schema.to_yaml(), "resolved").data, plugins=load_plugins(PLUGINS)) == schema


def test_the_pages_show_complete_schemas() -> None:
    assert sum(is_schema(read_yaml(block.values[0], "block").data) for block in blocks("yaml")) >= 2


@pytest.mark.parametrize("text", blocks("python"))
def test_python_compiles_and_runs_where_it_stands_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ast.parse(text)
    if text.startswith("import torch\n"):
        monkeypatch.syspath_prepend(EXAMPLES)
        space: dict[str, Any] = {}
        exec(compile(text, "block", "exec", dont_inherit=True), space)
        for name, test in list(space.items()):
            if name.startswith("test_"):
                test()
        sys.modules.pop("my_counts", None)


# The plugins.


def test_the_count_plugin_trains() -> None:
    assert {("modality", "tally"), ("source", "birds")} <= load_plugins([EXAMPLES / "my_counts.py"]).components.keys()
    count = component("modality", "tally")(typical=4.0)
    x = torch.poisson(torch.full((8,), 4.0), generator=seeded())
    network = build(MVAE(latent_dim=3), {"seen": count, "heard": count}, seed=0)
    present = torch.tensor([[True] * 6 + [False] * 2, [False] * 2 + [True] * 6])
    loss, terms = network(Batch({"seen": Observed(x, present[0]), "heard": Observed(x, present[1])}))
    loss.backward()
    assert list(terms) == ["log p(seen)", "log p(heard)", "KL"]
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


def test_the_count_likelihood_is_poisson() -> None:
    p = component("modality", "tally")(typical=4.0).decoder(3)(torch.randn(5, 3, generator=seeded()))
    numbers = torch.arange(200.0)[:, None].expand(200, 5)
    torch.testing.assert_close(p.log_prob(numbers).exp().sum(0), torch.ones(5))
    torch.testing.assert_close((p.log_prob(numbers).exp() * numbers).sum(0), p.mean)


@pytest.mark.parametrize(("cell", "value"), [(3, 3), ("12", 12), (4.0, 4), (0, 0)])
def test_counts_come_back(cell: Any, value: int) -> None:
    count = component("modality", "tally")(typical=4.0)
    x = count.prepare(count.parse(cell)[None], None, None)[0]
    assert count.cell(x) == value
    assert torch.equal(count.prepare(count.parse(count.cell(x))[None], None, None)[0], x)


@pytest.mark.parametrize("cell", ["many", -1, 2.5, float("nan"), float("inf"), [1]])
def test_what_is_no_count_is_a_fault(cell: Any) -> None:
    count = component("modality", "tally")(typical=4.0)
    parsed = count.parse_column([cell, None, 1])
    assert parsed.present.tolist() == [False, False, True]
    assert parsed.faults == {0: f"{cell!r} is no count; give 0 or a positive whole number"}


def test_the_plugins_run_from_schema_to_scores(tmp_path: Path) -> None:
    plugins = load_plugins(PLUGINS)
    overrides = ["data.sites=200", "train.epochs=2", "train.warmup_epochs=0", "model.kind=joint"]
    overrides.append("evaluate=[{kind: density}, {kind: elbo}, {kind: prediction}]")
    schema = read_schema(EXAMPLES / "birds.yaml", overrides, plugins)
    mmtoolkit.run(schema, tmp_path / "run", plugins=plugins, figures=False)
    run = mmtoolkit.load(tmp_path / "run", plugin_files=PLUGINS)
    assert isinstance(run.modalities["heron"].typical, float)  # type: ignore[attr-defined]
    density = run.results["scores"][0]["results"]
    assert [result["target"] for result in density] == [["habitat"], ["heron"], ["lark"]]
    assert all(result["value"] < 0 and result["examples"] > 0 for result in density)
    assert {result["better"] for result in density} == {"high"}
    of_counts = [result for result in run.results["scores"][2]["results"] if result["target"] == ["heron"]]
    assert {(result["metric"], result["better"]) for result in of_counts} == {("absolute_error", "low")}
    assert run.history[1]["loss"] < run.history[0]["loss"]


def test_the_density_of_a_model_that_decodes_one_modality(tmp_path: Path) -> None:
    plugins = load_plugins(PLUGINS)
    model = "model={kind: cvae, latent_dim: 2, target: lark}"
    overrides = ["data.sites=100", "train.epochs=1", "train.warmup_epochs=0", model, "evaluate=[{kind: density}]"]
    schema = read_schema(EXAMPLES / "birds.yaml", overrides, plugins)
    mmtoolkit.run(schema, tmp_path / "run", plugins=plugins, figures=False)
    run = mmtoolkit.load(tmp_path / "run", plugin_files=PLUGINS)
    (scores,) = run.evaluate(run.schema.evaluate, "test")
    (result,) = scores["results"]
    assert result["target"] == ["lark"]
    assert result["value"] < 0
    assert 0 < result["examples"] == sum(int(batch.present.all(1).sum()) for batch in run.batches("test"))
    said = "the model does not infer it from all others"
    assert scores["notes"] == [f"left out: {name}: {said}" for name in ("habitat", "heron")]


def flock(*cells: Any) -> tuple[Any, Any, torch.Tensor]:
    """The modality `counts` of two columns, and cells as parsed and as prepared."""
    options = {"columns": ["heron", "lark"], "likelihood": "poisson", "typical": [4, 4]}
    counts = component("modality", "counts").model_validate(options, context={"plugins": load_plugins(PLUGINS)})
    parsed = counts.parse_column(list(cells))
    return counts, parsed, counts.prepare(parsed.stored[parsed.present], None, None)


def test_an_unknown_entry_of_a_vector_is_neither_evidence_nor_target() -> None:
    counts, parsed, x = flock({"heron": 3, "lark": None}, {"lark": "20"}, None, {"heron": 1, "lark": 5})
    assert parsed.present.tolist() == [True, True, False, True]
    assert not parsed.faults
    encoder, decoder = counts.encoder(4), counts.decoder(2)
    other = torch.where(x[:, 1:] > 0, x[:, :1], 77.0)
    filled = torch.cat([other, x[:, 1:]], dim=1)  # another filler where unknown
    p = decoder(torch.randn(3, 2, generator=seeded()))
    assert (p.batch_shape, p.event_shape) == ((3,), counts.event_shape())
    assert torch.equal(encoder(filled), encoder(x))
    assert torch.equal(p.log_prob(filled), p.log_prob(x))
    each = p.base.log_prob(x[:, 0])
    torch.testing.assert_close(p.log_prob(x), torch.stack([each[0, 0], each[1, 1], each[2].sum()]))
    assert counts.cell(x[0]) == {"heron": 3}
    assert counts.cell(counts.point(p)[0]).keys() == {"heron", "lark"}


def test_a_bad_entry_of_a_vector_costs_the_entry() -> None:
    _, parsed, _ = flock({"heron": 3, "lark": "many"}, {"lrak": 1})
    assert parsed.present.tolist() == [True, False]
    assert parsed.faults == {
        0: "lark: 'many' is no count; give 0 or a positive whole number",
        1: "there is no column 'lrak'; the columns are heron, lark",
    }


@pytest.mark.parametrize("model", ["kind: mvae", "kind: cvae, target: flock", "kind: cvae", "kind: jmvae"])
def test_the_vector_plugin_runs_in_every_kind_of_model(tmp_path: Path, model: str) -> None:
    plugins = load_plugins(PLUGINS)
    overrides = ["data.sites=100", "train.epochs=1", "train.warmup_epochs=0"]
    overrides.append(f"model={{{model}, latent_dim: 2}}")
    schema = read_schema(EXAMPLES / "flocks.yaml", overrides, plugins)
    mmtoolkit.run(schema, tmp_path / "run", plugins=plugins, figures=False)
    run = mmtoolkit.load(tmp_path / "run", plugin_files=PLUGINS)
    given = {"flock": run.modalities["flock"].typed("{heron: 14}"), "habitat": "wood"}
    drawn = run.sample(3, given=given)["flock"]
    assert drawn[:, 0, 0].tolist() == [14, 14, 14]
    assert drawn[:, 1, 1].all() == ("flock" in run.model.targets)  # what is unknown is predicted, where it is decoded


def test_the_joint_model_is_the_mvae_in_its_joint_term() -> None:
    modalities = dict.fromkeys(("a", "b"), component("modality", "tally")(typical=4.0))
    joint = build(component("model", "joint")(latent_dim=3), modalities, seed=0)
    mvae = build(MVAE(latent_dim=3), modalities, seed=0)
    x = torch.poisson(torch.full((8,), 4.0), generator=seeded())
    present = torch.arange(8) % 3 != 0  # rows with one modality have one term in the MVAE too
    batch = Batch({"a": Observed(x, present), "b": Observed(x, ~present)})
    noise = torch.randn(3, 8, 3, generator=seeded())
    torch.testing.assert_close(joint(batch, 0.7, noise=noise)[0], mvae(batch, 0.7, noise=noise)[0])


# The reference.


def test_the_reference_has_every_public_name() -> None:
    named = re.findall(r"^::: mmtoolkit\.(\w+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(dir(mmtoolkit))


def test_the_schema_page_has_every_option() -> None:
    page = (DOCS / "schema.md").read_text(encoding="utf-8")
    section = re.compile(r'^<a id="([\w-]+)"></a>\n\n### \w+\n(.*?)(?=^<a id|^<!-- end)', re.MULTILINE | re.DOTALL)
    sections = dict(section.findall(page))
    plugins = load_plugins()
    bases: list[type[Component]] = [Modality, *FAMILIES[1:]]
    assert set(sections) == {f"{family}-{kind}" for family, kind in plugins.components}
    for (family, kind), cls in plugins.components.items():
        base = next(base for base in bases if base.family == family)
        shared = {*base.model_fields} if issubclass(cls, base) else {"kind"}
        for name in cls.model_fields.keys() - shared:
            assert f"| `{name}` |" in sections[f"{family}-{kind}"]
    assert "| `weight` |" not in sections["modality-record"]  # which is no modality
    assert "| `modalities` | mapping | required |" in page  # the key, not the attribute of the class
    for base in bases:
        for name in base.model_fields.keys() - {"kind"}:
            assert f"| `{name}` |" in page


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "whole number > 0"),
        ({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]}, "number ≥ 0, ≤ 1 or null"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "array", "prefixItems": [{"type": "integer"}] * 3}, "list of 3 × whole number"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "mapping to number"),
        ({"type": "string", "format": "path"}, "path"),
        ({"x-family": "model"}, "a kind of [model](#model), or a mapping with one"),
    ],
)
def test_types_are_told_in_words(hooks: ModuleType, schema: dict[str, Any], words: str) -> None:
    assert hooks.type_words(schema) == words


@pytest.mark.parametrize("name", ["schema", "cli", "reference", "reproduction", "models/comparison"])
def test_generated_parts_are_as_the_code_says(hooks: ModuleType, name: str) -> None:
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert "<!-- generated" in page
    assert hooks.fill(page) == page, f"docs/{name}.md is out of date: run `make reference`"


def test_the_site_makes_generated_parts_anew_and_once(hooks: ModuleType) -> None:
    page = (DOCS / "schema.md").read_text(encoding="utf-8")
    old = page.replace("| `early_stopping` |", "| `late_stopping` |")
    assert old != page
    assert hooks.on_page_markdown(old) == hooks.on_page_markdown(page)
    assert hooks.on_page_markdown(page).count("| `early_stopping` |") == 1


def test_the_site_shows_pictures_in_the_colours_of_its_theme(hooks: ModuleType) -> None:
    page = "Before.\n\n![Experts](../assets/mvae.svg)\n\nAfter ![inside](../assets/mvae.svg) a line.\n"
    inlined = '<figure class="picture">\n--8<-- "assets/mvae.svg"\n</figure>'
    assert hooks.on_page_markdown(page) == page.replace("![Experts](../assets/mvae.svg)", inlined)


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("<!-- generated: everything -->\n", "everything.*nothing of that name; there are schema, train, components"),
        ("<!-- generated: train -->\n\n# More\n", "train.*no end; add the line <!-- end of train -->"),
    ],
)
def test_a_wrong_marker_is_an_error(hooks: ModuleType, page: str, fault: str) -> None:
    from mkdocs.exceptions import PluginError

    with pytest.raises(PluginError, match=fault):
        hooks.fill(page)


# The command line.


def commands() -> dict[str, Any]:
    import importlib
    import pkgutil

    import typer

    import mmtoolkit.cli

    for module in pkgutil.iter_modules(mmtoolkit.cli.__path__, "mmtoolkit.cli."):
        importlib.import_module(module.name)
    from mmtoolkit.cli.app import app

    def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, f"{before}{name} ")
            if getattr(command, "invoke_without_command", True):  # a group that does something by itself, too
                yield before + name, command

    return dict(leaves(typer.main.get_command(app)))


def test_the_cli_page_has_every_command_and_option() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## mmt ([\w ]+)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    found = commands()
    assert set(sections) == set(found)
    for name, command in found.items():
        for flag in (flag for p in command.params if p.param_type_name == "option" for flag in p.opts):
            assert flag == "--help" or f"`{flag}" in sections[name]


@pytest.mark.parametrize("text", blocks("sh"))
def test_the_commands_shown_exist(text: str) -> None:
    known = commands()
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    for words in (words[1:] for words in lines if words and words[0] == "mmt"):
        if words[0] == "traverse":  # the command of the plugin that is shown
            continue
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known
        flags = {flag for p in known[name].params for flag in (*p.opts, *p.secondary_opts)} | {"--plugin", "--help"}
        assert {word for word in words if word.startswith("-")} <= flags


def test_every_included_file_is_named_as_the_site_reads_it() -> None:
    lines = [line for page in DOCS.rglob("*.md") for line in page.read_text().splitlines()]
    marks = [line for line in lines if re.search(r"--\s*8\s*<", line)]
    assert len(marks) >= 6
    for mark in marks:
        named = re.fullmatch(r'--8<-- "(.+)"', mark)
        assert named, mark
        assert any((folder / named[1]).is_file() for folder in (DOCS, DOCS.parent / "plugins"))
