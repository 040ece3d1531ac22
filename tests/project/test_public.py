"""The public names of the library and of the plugins beside it, their documentation, and who keeps to them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

import mmtoolkit
import mmtoolkit.testing
from mmtoolkit import evaluators, models, sources
from signatures import hidden_types

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
PACKAGES = (
    "mmtoolkit",
    "mmtoolkit.testing",
    "mmtoolkit.sklearn",
    "mmt_attributes",
    "mmt_binary",
    "mmt_image",
    "mmt_record",
    "mmt_series",
    "mmt_text",
)
PUBLIC = {
    f"{package}.{name}": getattr(import_module(package), name)
    for package in PACKAGES
    for name in import_module(package).__all__
}
_PYTHON = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listed(page: Path) -> list[str]:
    """What the API page documents, in order."""
    return re.findall(r"^:::\s+(\S+)\s*$", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_api_page_lists_the_public_names_and_no_others() -> None:
    assert sorted(listed(DOCS / "reference.md")) == sorted(PUBLIC)
    assert not [page for page in PAGES if page.name != "reference.md" and listed(page)]


def test_the_components_that_ship_are_public() -> None:
    for package in PACKAGES[3:]:
        assert [cls.__name__ for cls in import_module(package).mmt_components()] == import_module(package).__all__
    for cls in [*models.mmt_components(), *sources.mmt_components(), *evaluators.mmt_components()]:
        assert getattr(mmtoolkit, cls.__name__) is cls


@pytest.mark.parametrize("names", [["*"], *([name] for name in dir(mmtoolkit))], ids=lambda names: names[0])
def test_every_name_can_be_imported(names: list[str]) -> None:
    space: dict[str, object] = {}
    exec(f"from mmtoolkit import {', '.join(names)}", space)
    assert set(space) - {"__builtins__"} == (set(dir(mmtoolkit)) if names == ["*"] else set(names))


def documented_in(module: str, name: str) -> bool:
    """Whether a text stands under `name = …` in a module, or in the one that it takes the name from."""
    body = ast.parse(Path(str(import_module(module).__file__)).read_text(encoding="utf-8")).body
    tree = [node for part in body for node in (part.body if isinstance(part, ast.If) else [part])]
    for statement, following in zip(tree, [*tree[1:], None], strict=True):
        if isinstance(statement, ast.ImportFrom) and name in {alias.name for alias in statement.names}:
            return documented_in(str(statement.module), name)
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            text = getattr(following, "value", None)
            return isinstance(text, ast.Constant) and isinstance(text.value, str)
    return False


def members(cls: type) -> Iterator[tuple[str, object]]:
    """The methods and properties that a class of ours defines itself."""
    for name, member in vars(cls).items():
        default = getattr(member, "__name__", "") == "<lambda>"  # of a dataclass's field
        ours = isinstance(member, FunctionType | property | classmethod | staticmethod) and not default
        if ours and not name.startswith("_"):
            yield name, member


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = PUBLIC[name]
    if not isinstance(thing, type | FunctionType):
        assert documented_in(*name.rsplit(".", 1))
        return
    assert (thing.__doc__ or "").strip()
    assert not (thing.__doc__ or "").startswith(f"{thing.__name__}("), "that is what a dataclass says of itself"
    for member, defined in members(thing) if isinstance(thing, type) else ():
        assert inspect.getdoc(defined), f"{name}.{member}"


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC)
def test_signatures_show_public_types_alone(name: str) -> None:
    assert hidden_types(PUBLIC, name) == set()


def test_hidden_types_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mmt_mine.py").write_text(HIDING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("signatures.OURS", ("mmt_mine",))
    mine = import_module("mmt_mine")
    public = {"mmt_mine.Shown": mine.Shown, "mmt_mine.use": mine.use}
    places = ("__init__", "field", "method", "asked", "inherited", "__call__")
    hidden = {f"mmt_mine.Shown.{place}: Hidden of mmt_mine" for place in places}
    aliases = {f"mmt_mine.Shown.{place}: Alias of mmt_mine" for place in ("__init__", "alias")}
    assert hidden_types(public, "mmt_mine.Shown") == hidden | aliases
    assert hidden_types(public, "mmt_mine.use") == {"mmt_mine.use: Hidden of mmt_mine"}
    assert hidden_types({**public, "mmt_mine.Hidden": mine.Hidden}, "mmt_mine.use") == set()


HIDING = """
from __future__ import annotations
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Alias = Literal["Hidden"]

class Hidden: ...

class Base:
    def inherited(self) -> Callable[[Hidden], None]: ...

@dataclass
class Shown(Base):
    field: dict[str, list[Hidden | None]]
    alias: Alias
    plain: Annotated[int, Hidden]
    @classmethod
    def method(cls, x: Hidden, path: Path) -> tuple[Shown, ...]: ...
    @property
    def asked(self) -> type[Hidden]: ...
    def _private(self, x: Hidden) -> Hidden: ...
    def __call__(self, x: T) -> Hidden: ...

def use(x: Literal["Hidden"], *y: Hidden) -> Shown: ...
"""


# Who keeps to them.


def strangers(text: str) -> set[str]:
    """What a piece of Python imports of our packages, or reaches for by `mmtoolkit.…`, that is not public."""
    public = {package: set(import_module(package).__all__) for package in PACKAGES}
    public["mmtoolkit"] |= {"testing", "sklearn"}
    ours = {package.split(".")[0] for package in PACKAGES}
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] in ours and a.name not in public}
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ours:
            known = public.get(str(node.module), set())
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name not in known}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mmtoolkit":
            found |= {f"mmtoolkit.{node.attr}"} - {f"mmtoolkit.{name}" for name in public["mmtoolkit"]}
    return found


def test_strangers_are_found() -> None:
    assert strangers("from mmtoolkit import Batch, build\nimport mmtoolkit\nmmtoolkit.load") == set()
    assert strangers("from mmt_image import Image") == set()
    assert strangers("from mmt_image.image import Image") == {"mmt_image.image.Image"}
    assert strangers("from mmtoolkit.testing import check_model\nimport mmtoolkit.testing") == set()
    assert strangers("from mmtoolkit.core.posterior import Gaussian") == {"mmtoolkit.core.posterior.Gaussian"}
    assert strangers("import mmtoolkit.core.posterior as p") == {"mmtoolkit.core.posterior"}
    assert strangers("import mmtoolkit\nmmtoolkit.core.posterior.Gaussian") == {"mmtoolkit.core"}
    assert strangers("from mmtoolkit import Nonsense, base") == {"mmtoolkit.Nonsense", "mmtoolkit.base"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_use_public_names_alone(path: Path) -> None:
    assert strangers(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pages_show_public_names_alone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in _PYTHON.findall(text):
        assert block.startswith("--8<--") or strangers(block) == set()
    for path in re.findall(r"`mmtoolkit\.([\w.]+)", text):
        known = {*dir(mmtoolkit), "testing", "sklearn", "__all__", "commands"}  # the last is a group of entry points
        assert path.split(".")[0] in known, path


def test_our_own_plugins_use_what_anybody_may() -> None:
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "mmtoolkit":
                for alias in node.names:
                    public = {*dir(mmtoolkit), *mmtoolkit.testing.__all__}
                    assert alias.name in public, f"{path}: {node.module}.{alias.name}"
