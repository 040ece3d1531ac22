"""The page From 0.1 to 0.2: what it says of keys, kinds and names is so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import mmtoolkit
from mmtoolkit import Component, UserError, load_plugins, parse_schema
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.components.plugins import Plugins

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
COUNTS = ROOT / "plugins" / "mmt-counts" / "mmt_counts.py"
KINDS_OF_0_1 = {
    "modality": {"attributes", "binary", "image", "label", "numeric", "text"},
    "model": {"bivcca", "cvae", "jmvae", "mvae", "vae"},
    "source": {
        *("arrays", "celeba", "celeba_vision", "fashion_mini", "fashion_mnist"),
        *("huggingface", "mnist", "multimnist", "table"),
    },
    "evaluator": {"classifier", "elbo", "imputation", "log_likelihood", "prediction"},
}


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins([COUNTS])


def rows(section: str) -> Iterator[list[str]]:
    """The cells of the rows of a section's tables."""
    (text,) = re.findall(rf"^##+ {section}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


MOVED = [(code(old)[0], code(new)[0]) for old, new, *_ in rows("Schemas") if old.startswith("`{kind")]


def component(text: str, plugins: Plugins) -> Component:
    """The modality or model of a mapping, as a schema of a table reads it."""
    options: dict[str, Any] = read_yaml(text, "row").data
    is_model = ("model", options["kind"]) in plugins.components
    other: dict[str, Any] = {"kind": "mvae"}
    data = {
        "name": "x",
        "data": {"kind": "fashion_mini"},
        "modalities": {"one": {"kind": "label"} if is_model else options},
        "model": options if is_model else other,
    }
    schema = parse_schema(data, plugins=plugins)
    return schema.model if is_model else schema.units["one"]


@pytest.mark.parametrize(("old", "new"), MOVED)
def test_a_key_that_moved_is_read_in_both_places(old: str, new: str, plugins: Plugins) -> None:
    assert old != new
    assert component(old, plugins) == component(new, plugins)


def test_every_key_that_moved_is_on_the_page(plugins: Plugins) -> None:
    on_page = {(read_yaml(old, "row").data["kind"], key) for old, _ in MOVED for key in read_yaml(old, "row").data}
    moved = {(kind, key) for (_, kind), cls in plugins.components.items() for key in getattr(cls, "moved", {})}
    assert moved <= on_page
    assert len(moved) >= 6


@pytest.mark.parametrize(
    ("mapping", "part"),
    [
        ("{kind: image, shape: [1, 8, 8], scale: 0.3}", "likelihood"),
        ("{kind: numeric, degrees: 5}", "likelihood"),
        ("{kind: text, length: 9, feedback: argmax, network: transformer}", "network"),
        ("{kind: counts, hidden: 3, network: {kind: mlp, width: 4}}", "network"),
    ],
)
def test_an_old_key_without_its_part_names_the_part(mapping: str, part: str, plugins: Plugins) -> None:
    with pytest.raises(UserError, match=rf"(is an option of|is given here and in) {part}"):
        component(mapping, plugins)


def test_the_kinds_that_ship_now_are_on_the_page() -> None:
    on_page = {family: set(code(kinds)) for family, kinds in rows("Kinds that ship now") if family != "family"}
    known: Mapping[tuple[str, str], type[Component]] = load_plugins().components
    now = {family: {kind for of, kind in known if of == family} for family in KINDS_OF_0_1}
    assert on_page == {family: now[family] - kinds for family, kinds in KINDS_OF_0_1.items()}


def test_public_names_that_the_page_names_are_there() -> None:
    names = re.findall(r"reference\.md#mmtoolkit\.(\w+)|from mmtoolkit import (\w+)|mmtoolkit\.(\w+)\(", PAGE)
    assert {"".join(groups) for groups in names} <= set(dir(mmtoolkit))
    assert "Banked" not in dir(mmtoolkit)
