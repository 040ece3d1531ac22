"""Loads plugins and their components into a new registry at each call; nothing is global."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType

import pluggy
from pydantic.fields import FieldInfo

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import checksum
from mmtoolkit.base.words import error_with_class
from mmtoolkit.components import FAMILIES, Component, hooks

GROUP = hooks.PROJECT


@dataclass(frozen=True)
class Plugin:
    """The origin of components: an installed entry point, or a `--plugin` file."""

    name: str
    distribution: str
    version: str
    checksum: str | None = None
    """The SHA-256 of a `--plugin` file."""


@dataclass(frozen=True)
class Plugins:
    """The loaded components: (family, kind) -> class, and class -> its plugin."""

    components: dict[tuple[str, str], type[Component]] = field(default_factory=dict)
    origins: dict[type[Component], Plugin] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """A line for each plugin that does not work; the other plugins do."""
    empty: list[Plugin] = field(default_factory=list)
    """The plugins that work but add no component."""

    def of_family(self, family: str) -> dict[str, type[Component]]:
        """Kind -> class of one family."""
        return {kind: cls for (of, kind), cls in self.components.items() if of == family}

    def _add(self, classes: Sequence[type[Component]], plugin: Plugin) -> None:
        if not classes:
            self.empty.append(plugin)
        added: dict[tuple[str, str], type[Component]] = {}
        for cls in classes:
            kind = _kind(cls)
            known = self.components.get((cls.family, kind)) or added.get((cls.family, kind))
            if known is not None and known is not cls:
                raise UserError(
                    f"two classes are the {cls.family} {kind!r}: {_name(known)} and {_name(cls)}; "
                    "rename the kind of one, or uninstall one (MMT_PLUGINS names those to load)"
                )
            added[cls.family, kind] = cls
        self.components.update(added)
        self.origins.update(dict.fromkeys(added.values(), plugin))


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _kind(cls: type[Component]) -> str:
    if not (isinstance(cls, type) and issubclass(cls, FAMILIES)):
        families = ", ".join(family.__name__ for family in FAMILIES)
        raise TypeError(f"{cls!r} is not a class of one of the families {families}")
    kind: FieldInfo = cls.model_fields["kind"]
    if not isinstance(kind.default, str):
        raise TypeError(f'{_name(cls)} needs a kind, such as `kind: Literal["name"] = "name"`')
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise TypeError(f"{_name(cls)} does not define {', '.join(missing)}")
    cls.check_class()
    cls.model_rebuild()  # raises if the type of an option is unknown
    return kind.default


@cache
def _classes(module: object) -> tuple[type[Component], ...]:
    """The checked classes that a plugin's hook returns.

    Each plugin has its own manager, so a fault belongs to one plugin.
    """
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(module)
    manager.check_pending()  # a misspelt hook is an error
    lists = manager.hook.mmt_components()
    if not lists:
        raise TypeError("it has no @hookimpl function mmt_components")
    classes = tuple(cls for classes in lists for cls in classes)
    for cls in classes:
        _kind(cls)
    return classes


def load_plugins(files: Sequence[str | Path] = ()) -> Plugins:
    """Load the plugins that are installed, or of these the ones that $MMT_PLUGINS names, and plugin files.

    The built-in components come through entry points too; those of the package mmtoolkit load always.

    Args:
        files: Python files, each a plugin, as `--plugin FILE.py` names them.

    Raises:
        UserError: two classes have one kind, or a file is not a working plugin. An installed plugin that does not work
            only adds a line to `broken`.
    """
    plugins = Plugins()
    variable = os.environ.get("MMT_PLUGINS")
    names = None if variable is None else {name.strip() for name in variable.split(",") if name.strip()}
    entry_points = sorted(metadata.entry_points(group=GROUP), key=lambda point: (not _ours(point), point.name))
    if names is not None and (unknown := names - {point.name for point in entry_points}):
        raise UserError(
            f"MMT_PLUGINS: no plugin {', '.join(sorted(unknown))} is installed; "
            f"there are {', '.join(point.name for point in entry_points)}"
        )
    # Once for each distribution: every access to its metadata parses a file.
    facts = {dist: dist.metadata for dist in {point.dist for point in entry_points} if dist}
    for point in entry_points:
        if names is not None and point.name not in names and not _ours(point):
            continue
        distribution, version = (facts[point.dist][key] if point.dist else "unknown" for key in ("Name", "Version"))
        plugin = Plugin(point.name, distribution, version)
        try:
            classes = _classes(_module(point))
        except (Exception, SystemExit) as error:
            plugins.broken.append(
                f"plugin {point.name} of {distribution} {version} does not work: {error_with_class(error)}; "
                f"{_remedy(error, f'mend or uninstall {distribution}')}"
            )
            continue
        plugins._add(classes, plugin)
    for file in files:
        module, plugin = _load_file(Path(file))
        try:
            classes = _classes(module)
        except (Exception, SystemExit) as error:
            raise UserError(f"--plugin {file}: {error_with_class(error)}; {_remedy(error, 'mend the file')}") from error
        plugins._add(classes, plugin)
    return plugins


def _module(point: metadata.EntryPoint) -> object:
    """What an entry point names: a module, or an object, with the hook."""
    loaded: object = point.load()
    if isinstance(loaded, (type, FunctionType)):
        what = "class" if isinstance(loaded, type) else "function"
        raise TypeError(f'the entry point names a {what}; name its module: {point.name} = "{point.module}"')
    return loaded


def _remedy(error: BaseException, usual: str) -> str:
    """The usual remedy, or what to import instead of a name that this version of mmtoolkit lacks."""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "mmtoolkit":
        this = metadata.version("mmtoolkit")
        return f"import names that are public in mmtoolkit {this}, as in `from mmtoolkit import Modality`"
    return usual


def of_plugins(components: Iterable[Component]) -> dict[str, str]:
    """The components that are not mmtoolkit's own: kind -> what `mmt plugins check` takes, a distribution or a file."""
    installed = load_plugins().origins
    checkable = {}
    for component in components:
        plugin, module = installed.get(type(component)), sys.modules.get(type(component).__module__)
        if plugin is None:
            checkable[component.kind] = getattr(module, "__file__", None) or component.kind
        elif plugin.distribution != "mmtoolkit":
            checkable[component.kind] = plugin.distribution
    return checkable


def _ours(point: metadata.EntryPoint) -> bool:
    """Whether an entry point names a package of mmtoolkit itself."""
    return point.value.startswith("mmtoolkit.")


def _load_file(path: Path) -> tuple[ModuleType, Plugin]:
    if not os.path.isfile(path):  # Path.is_file raises for a name too long
        raise UserError(f"--plugin {path}: there is no such file; give the path of a Python file")
    try:
        digest = checksum(path)
    except OSError as error:
        raise UserError(f"--plugin {path}: cannot be read: {error.strerror}; check its permissions") from error
    name = f"mmt_plugin_{path.stem}_{digest[:12]}"
    plugin = Plugin(path.stem, str(path.resolve()), digest[:12], digest)
    if name in sys.modules:  # the same contents give the same classes
        sys.modules[name].__file__ = str(path.resolve())  # where they were before, there may be no file any more
        return sys.modules[name], plugin
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        raise UserError(f"--plugin {path}: is not a Python file; give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        # The text itself, for Python's byte code may be old: it keeps that of a file of the same size and second.
        exec(spec.loader.source_to_code(path.read_bytes(), os.fspath(path)), vars(module))
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise UserError(f"--plugin {path}: {error_with_class(error)}; {_remedy(error, 'mend the file')}") from error
    return module, plugin
