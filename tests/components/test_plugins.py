"""Loading plugins: which load, which do not, and one line for each that does not work."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.components import FAMILIES
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.schema.schema import json_schema, parse_schema
from runs import mmt

MODALITY = """\
from typing import Literal

import torch
from torch import nn

from mmtoolkit import Modality, hookimpl


class Reading(Modality):
    kind: Literal["reading"] = "reading"
    size: int = 2

    def event_shape(self):
        return (self.size,)

    def parse(self, cell):
        return torch.tensor(cell)

    def encoder(self, width, extra=0):
        return nn.Linear(self.size, width)

    def decoder(self, size):
        return nn.Linear(size, self.size)


@hookimpl
def mmt_components():
    return [Reading]
"""


PARTS = """\
from typing import Literal

from mmtoolkit import MLP, Architecture, GaussianLikelihood, Likelihood, Numbers, Part, Parted, hookimpl


class L(Likelihood):
    kind: Literal["l"] = "l"
    # L

    def head(self, form):
        ...


class A(Architecture):
    kind: Literal["a"] = "a"

    def encoder(self, form, width, extra=0):
        ...

    def raw(self, form, size, numbers):
        ...


class P(Parted):
    kind: Literal["p"] = "p"
    network: Part[Architecture] = MLP()
    likelihood: Part[Likelihood] = GaussianLikelihood()

    def form(self):
        return Numbers(1)

    def event_shape(self):
        return (1,)

    def parse(self, cell):
        ...


@hookimpl
def mmt_components():
    return [L]
"""


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "my_modality.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a distribution with one module and its entry point on the path."""

    def make(name: str, text: str | None, metadata: str | None = None, entry: str | None = None) -> None:
        site = tmp_path / "site"
        module = name.replace("-", "_")
        info = site / f"{module}-1.5.dist-info"
        info.mkdir(parents=True)
        if text is not None:
            (site / f"{module}.py").write_text(text)
        metadata = metadata if metadata is not None else f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(entry or f"[mmtoolkit]\n{module} = {module}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


def error_of(*files: Path) -> str:
    with pytest.raises(UserError) as raised:
        load_plugins(files)
    (line,) = raised.value.faults
    return line


# Installed plugins.


def test_our_own_components_come_through_entry_points() -> None:
    plugins = load_plugins()
    assert {("model", "mvae"), ("modality", "image"), ("modality", "label"), ("source", "mnist")} <= set(
        plugins.components
    )
    assert plugins.broken == []
    image = plugins.origins[plugins.components["modality", "image"]]
    assert (image.name, image.distribution, image.checksum) == ("image", "mmtoolkit", None)
    assert all(issubclass(cls, FAMILIES) for cls in plugins.components.values())


def test_each_call_makes_a_registry_of_its_own(plugin_file: Callable[[str], Path]) -> None:
    with_file = load_plugins([plugin_file(MODALITY)])
    assert ("modality", "reading") in with_file.components
    assert ("modality", "reading") not in load_plugins().components


def test_a_strangers_distribution_is_used_like_ours(install: Callable[..., None]) -> None:
    install("mmt-reading", MODALITY)
    plugins = load_plugins()
    origin = plugins.origins[plugins.components["modality", "reading"]]
    assert (origin.distribution, origin.version) == ("mmt-reading", "1.5")
    data = {"data": {"kind": "mnist"}, "modalities": {"r": {"kind": "reading", "size": 3}}, "model": {"kind": "mvae"}}
    assert parse_schema({"name": "x", **data}, plugins=plugins).modalities["r"].event_shape() == (3,)


def test_two_classes_of_one_name_live_side_by_side(install: Callable[..., None]) -> None:
    install("mmt-other", MODALITY.replace("Reading", "Image").replace('"reading"', '"other"'))
    plugins = load_plugins()
    described = json_schema(plugins)["$defs"]["modality"]["anyOf"][0]["discriminator"]["mapping"]
    assert described["image"] != described["other"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import a_module_that_is_nowhere", "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'"),
        ("def f(:", "SyntaxError: invalid syntax (mmt_bad.py, line 1)"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "no @hookimpl function mmt_components"),
        (None, "ModuleNotFoundError: No module named 'mmt_bad'"),
        (
            MODALITY.replace("def mmt_components", "def mmt_component"),
            "PluginValidationError: unknown hook 'mmt_component' in plugin ",
        ),
        (MODALITY.replace("[Reading]", "1 / 0"), "ZeroDivisionError: division by zero"),
        (
            MODALITY.replace("[Reading]", "['Reading']"),
            "TypeError: 'Reading' is not a class of one of the",
        ),
        (MODALITY.replace("[Reading]", "[Reading(), Modality]"), "is not a class of one of the families"),
        (
            MODALITY.replace('    kind: Literal["reading"] = "reading"\n', ""),
            'mmt_bad.Reading needs a kind, such as `kind: Literal["name"] = "name"`',
        ),
        (
            MODALITY.replace("def parse(", "def parze(").replace("def decoder(", "def dekoder("),
            "mmt_bad.Reading does not define decoder, parse",
        ),
        (PARTS, "L does not define scores, the types of forms whose values it scores, such as scores = (Numbers,)"),
        (PARTS.replace("# L", "scores = Numbers"), "L: scores must be a tuple, the types of forms"),
        (
            PARTS.replace("# L", "scores = (Numbers,); support = 'angle'"),
            "L: there is no support 'angle'; it is one of",
        ),
        (PARTS.replace("[L]", "[A]"), "A does not define reads, the types of forms that it has networks for"),
        (PARTS.replace("[L]", "[P]"), "P does not define gives, the type of its form, such as gives = Numbers"),
        (
            "from __future__ import annotations\n" + MODALITY.replace("size: int", "size: Nonsense"),
            "PydanticUndefinedAnnotation: name 'Nonsense' is not defined",
        ),
    ],
)
def test_a_broken_plugin_is_one_line_and_the_others_work(
    text: str | None, error: str, install: Callable[..., None]
) -> None:
    install("mmt-bad", text)
    plugins = load_plugins()
    (line,) = plugins.broken
    assert_facts(line, "plugin mmt_bad of mmt-bad 1.5 ", error, "; ", "mend or uninstall mmt-bad")
    assert "\n" not in line
    assert ("modality", "reading") not in plugins.components
    data = {"data": {"kind": "mnist"}, "modalities": {"l": {"kind": "label"}}, "model": {"kind": "mvae"}}
    assert parse_schema({"name": "x", **data}, plugins=plugins).name == "x"


@pytest.mark.parametrize(("attribute", "what"), [("Reading", "class"), ("mmt_components", "function")])
def test_an_entry_point_that_names_no_module(attribute: str, what: str, install: Callable[..., None]) -> None:
    install("mmt-bad", MODALITY, entry=f"[mmtoolkit]\nbad = mmt_bad:{attribute}\n")
    (line,) = load_plugins().broken
    assert_facts(line, "plugin bad of ", f'the entry point names a {what}; name its module: bad = "mmt_bad"')


def test_an_entry_point_in_another_group(install: Callable[..., None]) -> None:
    install("mmt-lost", MODALITY, entry="[mmtoolkit.plugins]\nlost = mmt_lost\n")
    ended = mmt("plugins", "check", "mmt-lost")
    assert ended.status == 2
    facts = ("mmt-lost: is installed, but has no entry point in the group mmtoolkit;", "in mmtoolkit.plugins; ")
    assert_facts(ended.err, *facts, "[project.entry-points.mmtoolkit]")


def test_a_distribution_without_a_name_is_no_reason_to_stop(install: Callable[..., None]) -> None:
    install("mmt-bad", "x = 1", metadata="")
    (line,) = load_plugins().broken
    assert line.startswith("plugin mmt_bad of ")


def test_a_clash_names_both_classes(install: Callable[..., None]) -> None:
    install("mmt-clash", MODALITY.replace('"reading"', '"image"'))
    facts = ("modality 'image'", "mmt_image.image.Image", "mmt_clash.Reading", "; ", "rename", "uninstall")
    assert_facts(error_of(), *facts, "MMT_PLUGINS")


def test_one_kind_in_two_families_is_no_clash(install: Callable[..., None]) -> None:
    install("mmt-fine", MODALITY.replace('"reading"', '"mvae"'))
    assert {("modality", "mvae"), ("model", "mvae")} <= set(load_plugins().components)


# MMT_PLUGINS.


def test_mmt_plugins_limits_what_is_loaded(monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]) -> None:
    install("mmt-bad", "raise ValueError")
    monkeypatch.setenv("MMT_PLUGINS", " image ,")
    plugins = load_plugins()
    assert set(plugins.of_family("modality")) == {"image"}
    assert "mvae" in plugins.of_family("model")  # our own sources and models are always there
    assert plugins.broken == []
    assert "mmt_bad" not in sys.modules


def test_mmt_plugins_leaves_files_alone(monkeypatch: pytest.MonkeyPatch, plugin_file: Callable[[str], Path]) -> None:
    monkeypatch.setenv("MMT_PLUGINS", "")
    assert set(load_plugins([plugin_file(MODALITY)]).of_family("modality")) == {"reading"}


def test_an_unknown_name_in_mmt_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMT_PLUGINS", "image,imag,zoo")
    line = error_of()
    assert_facts(
        line,
        "MMT_PLUGINS: ",
        "imag, zoo",
        "; ",
        "architectures, evaluators, likelihoods, models, priors, sources, ",
        "image",
    )


# --plugin FILE.


def test_a_plugin_file_has_its_checksum(plugin_file: Callable[[str], Path]) -> None:
    path = plugin_file(MODALITY)
    plugins = load_plugins([path])
    origin = plugins.origins[plugins.components["modality", "reading"]]
    assert origin.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert origin.distribution == str(path)
    assert (
        load_plugins([str(path), path]).components["modality", "reading"] is plugins.components["modality", "reading"]
    )


def test_a_changed_plugin_file_is_another_class(plugin_file: Callable[[str], Path]) -> None:
    before: Any = load_plugins([plugin_file(MODALITY)]).components["modality", "reading"]
    after: Any = load_plugins([plugin_file(MODALITY.replace("= 2", "= 5"))]).components["modality", "reading"]
    assert (before().event_shape(), after().event_shape()) == ((2,), (5,))


def test_a_file_changed_within_the_second_is_another_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path, shapes = tmp_path / "reading.py", []
    for text in (MODALITY, MODALITY.replace("= 2", "= 5")):
        path.write_text(text)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        reading: Any = load_plugins([path]).components["modality", "reading"]
        shapes.append(reading().event_shape())
    assert shapes == [(2,), (5,)]


def test_a_plugin_file_clashes_by_name_too(plugin_file: Callable[[str], Path]) -> None:
    line = error_of(plugin_file(MODALITY.replace('"reading"', '"label"')))
    assert_facts(line, "modality 'label'", "mmt_attributes.label.Label", "mmt_plugin_my_modality_")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def f(:\n", "SyntaxError: invalid syntax (my_modality.py, line 1)"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("", "no @hookimpl function mmt_components"),
        ("x = '\0'", "source code string cannot contain null bytes"),
        (MODALITY.replace("def mmt_components", "def mmt_component"), "unknown hook 'mmt_component'"),
        (MODALITY.replace("def encoder(", "def encode("), "Reading does not define encoder"),
    ],
)
def test_a_plugin_file_that_does_not_work(text: str, error: str, plugin_file: Callable[[str], Path]) -> None:
    path = plugin_file(text)
    line = error_of(path)
    assert_facts(line, f"--plugin {path}: ", error, "; mend the file")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("from mmtoolkit.hookspecs import hookimpl\n", "No module named 'mmtoolkit.hookspecs'"),
        ("from mmtoolkit import Banked\n", "cannot import name 'Banked' from 'mmtoolkit'"),
    ],
)
def test_a_plugin_file_for_another_version(text: str, error: str, plugin_file: Callable[[str], Path]) -> None:
    line = error_of(plugin_file(text))
    assert_facts(line, error, f"public in mmtoolkit {version('mmtoolkit')}", "from mmtoolkit import Modality")


def test_a_plugin_file_that_failed_is_read_anew(plugin_file: Callable[[str], Path], tmp_path: Path) -> None:
    text = f"import pathlib\nif not pathlib.Path({str(tmp_path / 'flag')!r}).exists(): raise ValueError\n" + MODALITY
    path = plugin_file(text)
    error_of(path)
    (tmp_path / "flag").touch()
    assert ("modality", "reading") in load_plugins([path]).components


def test_paths_that_are_no_plugin_file(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.py"
    for path in (nowhere, tmp_path, Path("x" * 5000)):
        assert_facts(error_of(path), f"--plugin {path}: ", "no such file", "; ", "Python file")
    notes = tmp_path / "notes.txt"
    notes.write_text(MODALITY)
    assert_facts(error_of(notes), f"--plugin {notes}: ", "not a Python file", "; ", ".py")
