"""The tutorials, done step by step: what they tell to write is written, and what they say is said."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import torch

import mmtoolkit
from facts import assert_facts
from mmtoolkit import Grid, Numbers, UserError, load, load_plugins, read_schema
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.scaffold.project import write_project
from mmtoolkit.testing import check_architecture, check_likelihood, check_modality, examine
from runs import assert_refused, mmt, sets

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS, EXAMPLES = DOCS / "tutorials", DOCS / "examples"
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = "mmt_flocks.py"


def blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of a page: language, title, text."""
    text = (TUTORIALS / page).read_text(encoding="utf-8")
    return [(block[1], block[2].strip(), block[3]) for block in _BLOCK.finditer(text)]


def written(module: str, block: str, cls: str, within: bool) -> str:
    """A module in which what a block defines stands in place of what has the same name, or is added.

    Args:
        module: the source of the module.
        block: definitions, and what they need to import.
        cls: the class that the block is about.
        within: whether the block belongs into the class; if not, new classes stand before it.
    """
    tree = ast.parse(module)
    lines = module.splitlines()
    places: list[tuple[int, int, str]] = []
    (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls)
    imports = next(node.lineno for node in tree.body if isinstance(node, ast.ImportFrom)) - 1
    among = owner.body if within else tree.body
    end = owner.end_lineno if within else owner.lineno - 1
    assert end is not None
    for new in ast.parse(block).body:
        text = ast.get_source_segment(block, new)
        assert text is not None
        if isinstance(new, (ast.Import, ast.ImportFrom)):
            places.append((imports, imports, text))
        elif not isinstance(new, ast.Expr):  # a docstring of the field before it, which stays as it is
            text = textwrap.indent(text, "    ") if within else text
            old = [node for node in among if named(node) == named(new)]
            start, stop = (old[0].lineno - 1, old[0].end_lineno) if old else (end, end)
            assert stop is not None
            places.append((start, stop, text if old else f"\n{text}\n\n"))
    for start, stop, text in sorted(places, key=lambda place: place[0], reverse=True):
        lines[start:stop] = text.splitlines()
    return "\n".join(lines) + "\n"


def named(node: ast.stmt) -> str | None:
    """The name that a class, a function or a field of a class has."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    return node.name if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else None


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


def broken(module: ModuleType) -> set[tuple[str, str]]:
    """What `mmt plugins check` says of the components of a module: each broken promise, and its fault."""
    examples = [example for cls in module.mmt_components() for example in cls.examples()]
    outcomes = [outcome for example in examples for outcome in examine(example)]
    return {(outcome.promise, fault) for outcome in outcomes for fault in outcome.beside_promise}


@pytest.mark.slow
def test_counts_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project("mmt-flocks", tmp_path / "mmt-flocks", Plugins())
    monkeypatch.setitem(sys.modules, "mmt_flocks", ModuleType("mmt_flocks"))  # so that it goes again
    path = project.folder / FILE
    shown = 0
    for language, title, text in blocks("counts.md"):
        if language == "python" and title.startswith(f'title="{FILE}'):
            path.write_text(written(path.read_text(), text, "Flocks", within="in Flocks" in title))
        elif language == "text":
            lines = [line.strip() for line in text.splitlines()]
            promises = [line.removeprefix("BROKEN  ") for line in lines[::2]]
            assert {*zip(promises, lines[1::2], strict=True)} <= broken(imported(path))
            shown += len(promises)
    assert shown == 3
    module = imported(path)
    assert not broken(module)
    assert [cls.__name__ for cls in module.mmt_components()] == ["Flocks", "FlocksPoisson", "FlocksNegativeBinomial"]
    several = module.Flocks(columns=("heron", "lark"), likelihood=module.FlocksNegativeBinomial())
    check_modality(several)


def test_the_likelihoods_of_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their densities, in float64 against their formulas."""
    project = write_project("mmt-flocks", tmp_path / "mmt-flocks", Plugins())
    monkeypatch.setitem(sys.modules, "mmt_flocks", ModuleType("mmt_flocks"))
    path = project.folder / FILE
    for language, title, text in blocks("counts.md"):
        if language == "python" and title.startswith(f'title="{FILE}'):
            path.write_text(written(path.read_text(), text, "Flocks", within="in Flocks" in title))
    module, raw = imported(path), torch.tensor([[[0.3]]], dtype=torch.float64)
    mean, alpha, x = math.log1p(math.exp(0.3)) + 1e-6, math.log(2) + 1e-6, 3
    p = module.FlocksPoisson().head(Numbers(1, support="whole"))(raw)
    assert p.log_prob(torch.tensor(3.0)).item() == pytest.approx(x * math.log(mean) - mean - math.lgamma(x + 1))
    p = module.FlocksNegativeBinomial().head(Numbers(1, support="whole"))(raw)
    expected = math.lgamma(x + 1 / alpha) - math.lgamma(x + 1) - math.lgamma(1 / alpha)
    expected += x * math.log(alpha * mean / (1 + alpha * mean)) - math.log(1 + alpha * mean) / alpha
    assert p.log_prob(torch.tensor(3.0)).item() == pytest.approx(expected)
    assert p.variance.item() == pytest.approx(mean + alpha * mean**2)


@pytest.mark.slow
def test_the_source_of_the_tutorial(tmp_path: Path) -> None:
    files = ("--plugin", EXAMPLES / "dice.py")
    assert mmt("plugins", "check", *files).status == 0
    words = ("run", EXAMPLES / "dice.yaml", "--out", tmp_path / "run", "--set", "train.epochs=2", *files)
    assert mmt(*words).status == 0
    assert mmt("sample", tmp_path / "run", "--given", "even=yes", "-n", "3", *files).status == 0


def test_two_parameters_of_every_number() -> None:
    """What the tutorial says of a likelihood with two outputs at each place, put where it says."""
    of_likelihood, of_head = (
        textwrap.indent(text, "    ")
        for place in ("in a likelihood", "in its head")
        for language, title, text in blocks("counts.md")
        if title == f'title="{place}"'
    )
    space: dict[str, Any] = {name: getattr(mmtoolkit, name) for name in dir(mmtoolkit)}
    space |= {"nn": torch.nn, "F": torch.nn.functional, "Tensor": torch.Tensor, "distributions": torch.distributions}
    space |= {"Distribution": torch.distributions.Distribution, "Literal": Literal}
    head = f"class GammaHead(nn.Module):\n{of_head}\n"
    likelihood = "class Gamma(Likelihood):\n    kind: Literal['gamma'] = 'gamma'\n    scores = (Numbers,)\n"
    likelihood += f"    support = 'positive'\n    def head(self, form):\n        return GammaHead()\n{of_likelihood}"
    exec(compile(head + likelihood, "block", "exec", dont_inherit=True), space)
    check_likelihood(space["Gamma"]())


# The page of parts.


def own(file: str, family: str, kind: str) -> Any:
    return load_plugins([EXAMPLES / file]).components[family, kind]


def test_own_parts_keep_their_contracts() -> None:
    check_architecture(own("own_resnet.py", "architecture", "own_resnet")(width=4), forms=[Grid(1, 5, 6)])
    check_likelihood(own("own_likelihood.py", "likelihood", "gamma")(), forms=[Numbers(2, support="positive")])


@pytest.mark.parametrize("sides", [(28, 28), (5, 9), (1, 1)])
def test_the_own_resnet_serves_pictures_of_any_size(sides: tuple[int, int]) -> None:
    form, resnet = Grid(3, *sides), own("own_resnet.py", "architecture", "own_resnet")(width=4)
    x, z = torch.rand(2, 3, *sides), torch.randn(2, 5)
    encoder = resnet.encoder(form, 6, extra=2)
    assert encoder(x, torch.randn(2, 2)).shape == (2, 6)
    assert resnet.raw(form, 5, numbers=2)(z).shape == (2, 2, 3, *sides)
    blocks_of = [module for module in encoder.modules() if type(module).__name__ == "Block"]
    assert len(blocks_of) == 2
    for block in blocks_of:  # a residual network is the identity where its layers say nothing
        for parameter in block.parameters():
            torch.nn.init.zeros_(parameter)
        features = torch.randn(2, block.layers[1].in_channels, 3, 4)
        assert torch.equal(block(features), features)


def test_the_own_likelihood_is_a_gamma_distribution() -> None:
    form = Numbers(2, shift=(math.log(4.0), math.log(0.5)), support="positive")
    head = own("own_likelihood.py", "likelihood", "gamma")().head(form)
    torch.nn.init.constant_(head.raw_shape, 0.7)
    raw = torch.tensor([[[0.2, -1.0]], [[2.0, 0.0]]], dtype=torch.float64)
    x = torch.tensor([[5.0, 0.1], [0.01, 3.0]], dtype=torch.float64)
    log_prob = head(raw).log_prob(x)
    shape = math.log1p(math.exp(0.7)) + 0.1
    for row in range(2):
        for k, typical in enumerate((4.0, 0.5)):
            mean = typical * (math.log1p(math.exp(raw[row, 0, k])) + 1e-6)
            value, rate = x[row, k].item(), shape / mean
            expected = shape * math.log(rate) - math.lgamma(shape) + (shape - 1) * math.log(value) - rate * value
            assert log_prob[row, k].item() == pytest.approx(expected, rel=1e-6)


FEW = ("train.epochs=1", "train.warmup_epochs=0")
FEWER = (*FEW, "data.rows={train: 100, valid: 20, test: 20}", "model.latent_dim=2")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of each command of the page of parts, whose files lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("own_resnet.py", "own_likelihood.py", "heavy.py", "steeping.yaml", "teas.csv"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text(encoding="utf-8"), encoding="utf-8")
    lines: list[list[str]] = []
    for language, title, text in blocks("parts.md"):
        if language == "yaml" and title == 'title="parts.yaml"':
            (tmp_path / "parts.yaml").write_text(text)
        if language == "sh":
            lines += [shlex.split(line, comments=True)[1:] for line in text.splitlines()]
    return lines


def test_the_schemas_of_the_page_of_parts_are_right(page: list[list[str]]) -> None:
    faults = []
    for words in page:
        if words[0] not in ("run", "check"):
            continue
        files = [words[place + 1] for place, word in enumerate(words) if word == "--plugin"]
        changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        named = next(word for word in words if word.endswith(".yaml") or word == "fashion_mini")
        try:
            read_schema(named, changes, load_plugins(files))
        except UserError as error:
            faults.append((changes, str(error)))
    ((changes, fault),) = faults  # the one that the page announces
    assert changes == ["modalities.image.likelihood=categorical"]
    assert_facts(fault, "--set modalities.image.likelihood: ", "categorical", "a grid", "bernoulli")


def test_the_own_likelihood_trains_as_shown(page: list[list[str]]) -> None:
    (words,) = (words for words in page if words[0] == "run" and "runs/gamma" in words)
    ended = mmt(*words, *sets(*FEW, "evaluate=[{kind: elbo}]"), "--no-figures")
    assert ended.status == 0, ended.err
    schema = load("runs/gamma", ["own_likelihood.py"]).schema
    assert schema.modalities["minutes"].likelihood.kind == "gamma"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_page_of_parts_runs_as_shown(page: list[list[str]]) -> None:
    """Every command of the page, in its order, on few rows."""
    for words in page:
        few: list[str] = []
        if words[0] == "run":
            few = sets(*(FEW if "steeping.yaml" in words else FEWER))
        elif words[:2] == ["check", "fashion_mini"]:
            few = sets("data.rows={train: 40, valid: 20, test: 20}")
        ended = mmt(*words, *few)
        if "modalities.image.likelihood=categorical" in words:
            assert_refused(ended, ("--set modalities.image.likelihood: ", "categorical", "a grid", "bernoulli"))
        else:
            assert ended.status == 0, f"{words}: {ended.err}"
    assert len(page) > 15
    assert Path("sandals.png").is_file()
