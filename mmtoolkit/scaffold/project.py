"""Write the project of a new plugin from templates."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jinja2

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder, write_text
from mmtoolkit.components.plugins import Plugins

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PLACES = {
    ".gitignore": "gitignore",
    "{module}.py": "module.py",
    "tests/test_{module}.py": "test_module.py",
}
"""Files whose place in the project is another than that of their template."""


@dataclass(frozen=True)
class Project:
    """A plugin project.

    Attributes:
        folder: of the project.
        name: of the distribution, such as mmt-rainfall.
        module: with the hook, such as mmt_rainfall.
        family: of the component, such as modality.
        kind: of the component, such as rainfall.
    """

    folder: Path
    name: str
    module: str
    family: str
    kind: str

    @property
    def cls(self) -> str:
        """The name of the component's class, such as Rainfall."""
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


def write_project(name: str, folder: Path, plugins: Plugins, family: str = "modality") -> Project:
    """Write a plugin project: a component that works, its tests, and a schema to train with it.

    Args:
        name: of the distribution; it gives the module its name, and without `mmt_` the kind.
        folder: of the project, which must not exist yet.
        plugins: the installed plugins, whose kinds are taken.
        family: of the component.

    Raises:
        UserError: the name is invalid or taken, or the folder exists already or cannot be written.
    """
    module = re.sub(r"[-.]+", "_", name).lower()
    project = Project(folder, name, module, family, module.removeprefix("mmt_"))
    _check_name(project, plugins)
    files = _rendered(project)
    _check_class(project, files[f"{module}.py"])
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already; name another folder: `mmt plugins new {name} DIR`")
    for path, text in files.items():
        make_folder((folder / path).parent)
        write_text(folder / path, text)
    return project


def _rendered(project: Project) -> dict[str, str]:
    """The project's files: path -> text. The templates are those of its family, and those that all families share."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmtoolkit", "scaffold/plugin"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    values = {
        "name": project.name,
        "module": project.module,
        "family": project.family,
        "a_family": f"an {project.family}" if project.family[0] in "ae" else f"a {project.family}",
        "kind": project.kind,
        "cls": project.cls,
    }
    places = {template: place for place, template in _PLACES.items()}
    files = {}
    for path in environment.list_templates():
        folder, _, file = path.rpartition("/")
        if folder not in ("", project.family) or file == "about.md.jinja":  # which README.md includes
            continue
        template = file.removesuffix(".jinja")
        place = places.get(template, template).format(module=project.module)
        files[place] = environment.get_template(path).render(values)
    return files


def _check_name(project: Project, plugins: Plugins) -> None:
    """Check that the name is valid, and neither its kind nor its module is taken.

    Raises:
        UserError: the fault.
    """
    name, module, kind = project.name, project.module, project.kind
    if not _NAME.fullmatch(name) or not (module.isidentifier() and kind.isidentifier()):
        raise UserError(
            f"{name}: is not a valid name for a plugin; use letters, digits and -, and begin with a letter, such as "
            "mmt-rainfall"
        )
    if keyword.iskeyword(module) or keyword.iskeyword(kind) or hasattr(builtins, project.cls):
        raise _has_meaning(project)
    if (known := plugins.components.get((project.family, kind))) is not None:
        where = plugins.origins[known].distribution
        raise UserError(f"{name}: the {project.family} {kind!r} exists already, in {where}; choose another name")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UserError(f"{name}: the module {module} exists already; choose another name, such as {_other(project)}")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return
    raise UserError(f"{name}: {name} {version} is installed already; choose another name")


def _check_class(project: Project, module: str) -> None:
    """Check that the module imports nothing of the name of its class.

    Raises:
        UserError: it does.
    """
    imports = [node for node in ast.walk(ast.parse(module)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    if project.cls in {alias.asname or alias.name for node in imports for alias in node.names}:
        raise _has_meaning(project)


def _has_meaning(project: Project) -> UserError:
    return UserError(f"{project.name}: has another meaning in Python; choose another name, such as {_other(project)}")


def _other(project: Project) -> str:
    """A name like that of the project that is free more often."""
    return f"mmt-my-{project.kind.replace('_', '-')}"
