"""The tutorials, done step by step: what they tell to write is written, and what they say is said."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mmtoolkit.components.plugins import Plugins
from mmtoolkit.scaffold.project import write_project
from mmtoolkit.testing import check_modality, examine
from runs import mmt

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS, EXAMPLES = DOCS / "tutorials", DOCS / "examples"
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = "mmt_flocks.py"


def blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of a page: language, title, text."""
    text = (TUTORIALS / page).read_text(encoding="utf-8")
    return [(block[1], block[2].strip(), block[3]) for block in _BLOCK.finditer(text)]


def written(module: str, block: str, cls: str) -> str:
    """A module in which the classes of a block stand for those of the same name, and its functions for methods."""
    tree = ast.parse(module)
    lines = module.splitlines()
    places: list[tuple[int, int, str]] = []
    (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls)
    for new in ast.parse(block).body:
        text = ast.get_source_segment(block, new)
        assert isinstance(new, (ast.ClassDef, ast.FunctionDef))
        assert text is not None
        among = tree.body if isinstance(new, ast.ClassDef) else owner.body
        if isinstance(new, ast.FunctionDef):
            text = textwrap.indent(text, "    ")
        old = [node for node in among if isinstance(node, type(new)) and node.name == new.name]
        place = (old[0].lineno - 1, old[0].end_lineno) if old else (owner.end_lineno, owner.end_lineno)
        places.append((*place, text if old else f"\n{text}"))  # type: ignore[arg-type]
    for start, stop, text in sorted(places, reverse=True):
        lines[start:stop] = text.splitlines()
    return "\n".join(lines) + "\n"


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def faults(module: ModuleType, **options: Any) -> list[str]:
    return [fault for outcome in examine(module.Flocks(**options)) for fault in outcome.beside_promise]


def test_counts_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project("mmt-flocks", tmp_path / "mmt-flocks", Plugins())
    monkeypatch.setitem(sys.modules, "mmt_flocks", ModuleType("mmt_flocks"))  # so that it goes again
    path = project.folder / FILE
    told = 0
    for language, title, text in blocks("counts.md"):
        if language == "python" and title.startswith(f'title="{FILE}'):
            path.write_text(written(path.read_text(), text, "Flocks"))
        elif language == "text":
            lines = [line.strip() for line in text.splitlines()]
            assert all(line.startswith("BROKEN  ") for line in lines[::2])
            assert faults(imported(path)) == lines[1::2]
            told += len(lines[1::2])
    assert told == 3
    module = imported(path)
    assert faults(module) == []
    assert faults(module, columns=("heron", "lark")) == []
    assert "NegativeBinomial" in path.read_text()


def test_the_source_of_the_tutorial(tmp_path: Path) -> None:
    files = ("--plugin", EXAMPLES / "dice.py")
    assert mmt("plugins", "check", *files).status == 0
    words = ("run", EXAMPLES / "dice.yaml", "--out", tmp_path / "run", "--set", "train.epochs=2", *files)
    assert mmt(*words).status == 0
    assert mmt("sample", tmp_path / "run", "--given", "even=yes", "-n", "3", *files).status == 0


def test_two_parameters_of_every_number(tmp_path: Path) -> None:
    """What the tutorial says of a likelihood of which z decides two parameters, put where it says."""
    project = write_project("mmt-flocks", tmp_path / "mmt-flocks", Plugins())
    path = project.folder / FILE
    (text,) = (text for language, title, text in blocks("counts.md") if language == "python" and "chunk(2" in text)
    layers, forward = text.split("# and in forward\n")
    module = path.read_text()
    decoder = module.index("class FlocksDecoder")
    head, body = module[:decoder], module[decoder:]
    body = re.sub(r"self\.layers = .*", layers.strip(), body, count=1)
    body = body.replace("        self.scale = nn.Parameter(torch.zeros(modality.size))\n", "")
    start, stop = body.index("        mean ="), body.index("        return self.modality")
    head = head.replace("abs(number) > 1e6", "not 0 < number <= 1e6")
    path.write_text(head + body[:start] + textwrap.indent(forward, "        ") + body[stop:])
    flocks = imported(path).Flocks
    check_modality(flocks(), [0.5, 1.0, 4.0], bad=[0, -1])
    check_modality(flocks(columns=("a", "b")), [{"a": 0.5, "b": 1.0}, {"a": 2.0}, {"b": 4.0}])
