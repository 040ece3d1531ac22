"""Write the project of a new plugin from templates."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import jinja2

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, write_text
from mmtoolkit.components.plugins import Plugins

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# Names that the template's module imports.
_IMPORTED = {"Any", "Component", "Distribution", "F", "Iterable", "Literal", "NumberModality", "PositiveInt", "Tensor"}

_FILES = {
    "pyproject.toml": "pyproject.toml.jinja",
    "README.md": "README.md.jinja",
    ".gitignore": "gitignore.jinja",
    "{module}.py": "module.py.jinja",
    "tests/test_{module}.py": "test_module.py.jinja",
    "example.yaml": "example.yaml.jinja",
    "example.csv": "example.csv",
}


@dataclass(frozen=True)
class Project:
    """A plugin project.

    Attributes:
        folder: of the project.
        name: of the distribution, such as mmt-rainfall.
        module: with the hook, such as mmt_rainfall.
        kind: of the modality, such as rainfall.
    """

    folder: Path
    name: str
    module: str
    kind: str

    @property
    def cls(self) -> str:
        """The name of the modality's class, such as Rainfall."""
        return "".join(part.capitalize() for part in self.kind.split("_"))

    @property
    def next_commands(self) -> list[str]:
        """Commands that install the plugin, test it and train with it."""
        folder = str(self.folder)
        return [
            shlex.join(["pip", "install", "-e", folder]),
            shlex.join(["pytest", folder]),
            shlex.join(["mmt", "plugins", "check", self.name]),
            shlex.join(["mmt", "run", str(self.folder / "example.yaml"), "--out", f"runs/{self.name}"]),
        ]


def write_project(name: str, folder: Path, plugins: Plugins) -> Project:
    """Write a plugin project: a modality that works, its tests, and a schema with data to train on.

    Args:
        name: of the distribution; it gives the module its name, and without `mmt_` the kind.
        folder: of the project, which must not exist yet.
        plugins: the installed plugins, whose kinds are taken.

    Raises:
        UserError: the name is invalid or taken, or the folder exists already or cannot be written.
    """
    project = _check_name(name, folder, plugins)
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already; name another folder: `mmt plugins new {name} DIR`")
    templates = resources.files("mmtoolkit") / "scaffold" / "plugin"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    values = {"name": name, "module": project.module, "kind": project.kind, "cls": project.cls}
    for path, template in _FILES.items():
        target = folder / path.format(module=project.module)
        make_folder(target.parent)
        write_text(target, environment.from_string((templates / template).read_text(encoding="utf-8")).render(values))
    return project


def _check_name(name: str, folder: Path, plugins: Plugins) -> Project:
    """The project of that name.

    Raises:
        UserError: the name is invalid or taken.
    """
    module = re.sub(r"[-.]+", "_", name).lower()
    kind = module.removeprefix("mmt_")
    project = Project(folder, name, module, kind)
    if not _NAME.fullmatch(name) or not (module.isidentifier() and kind.isidentifier()):
        raise UserError(
            f"{name}: is not a valid name for a plugin; use letters, digits and -, and begin with a letter, such as "
            "mmt-rainfall"
        )
    if keyword.iskeyword(module) or hasattr(builtins, project.cls) or project.cls in _IMPORTED:
        raise UserError(f"{name}: has another meaning in Python; choose another name, such as mmt-{kind}-values")
    if (known := plugins.components.get(("modality", kind))) is not None:
        where = plugins.origins[known].distribution
        raise UserError(f"{name}: the kind {kind!r} exists already, in {where}; choose another name")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UserError(f"{name}: the module {module} exists already; choose another name, such as mmt-{kind}-values")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return project
    raise UserError(f"{name}: {name} {version} is installed already; choose another name")
