"""Generates the tables of the reference pages from the code, and prepares pages for the built site.

A page holds a generated part between two markers, each on a line of its own: `<!-- generated: NAME -->` and
`<!-- end of NAME -->`. The part is committed, so that the page can be read where the repository is looked at.
`make reference` writes it anew, a test says when it is out of date, and each build of the site fills it in afresh.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.exceptions import PluginError
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mmtoolkit.base.described import descriptions
from notebook_page import wines
from result_tables import reproduction, settings, table, zoo

_PART = re.compile(r"^<!-- generated: (.+) -->$(?:(?!<!-- generated).)*?^<!-- end of \1 -->$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)
_PICTURE = re.compile(r"^!\[[^\]]*\]\((?:\.\./)*(assets/\w+\.svg)\)$", re.MULTILINE)
_DISTRIBUTION = "mmtoolkit"
_ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this with the text of each page."""
    # A picture inside the page takes the colours of the site's theme; as an image it could not.
    inlined = _PICTURE.sub(r'<figure class="picture">\n--8<-- "\1"\n</figure>', markdown)
    return fill(inlined)


def fill(page: str) -> str:
    """The page with its generated parts made anew.

    Raises:
        PluginError: a marker names nothing that can be generated, or has no end.
    """
    for marker in _MARKER.finditer(page):
        if marker[1] not in _GENERATORS:
            raise PluginError(f"{marker[0]}: there is nothing of that name; there are {', '.join(_GENERATORS)}")
        if f"\n<!-- end of {marker[1]} -->\n" not in page[marker.end() :] + "\n":
            raise PluginError(f"{marker[0]}: it has no end; add the line <!-- end of {marker[1]} -->")
    return _PART.sub(
        lambda part: f"<!-- generated: {part[1]} -->\n\n{_GENERATORS[part[1]]()}\n\n<!-- end of {part[1]} -->", page
    )


def write_pages() -> None:
    """Write the generated parts of all pages anew: what `make reference` does."""
    for path in sorted(Path(__file__).parent.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (filled := fill(page)) != page:
            path.write_text(filled, encoding="utf-8")
            print(path.relative_to(_ROOT))


# The schema.

_HEAD = ("key", "type", "default", "description")


def _plain(text: str | None) -> str:
    """A description on one line of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}


def type_words(schema: Mapping[str, Any]) -> str:
    """What a property of a JSON Schema takes, in words."""
    if "x-family" in schema:
        family = schema["x-family"]
        return f"a kind of [{family}](#{family}), or a mapping with one"
    if "$ref" in schema:
        return "mapping"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_words(option) for option in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("prefixItems")
        inner = type_words(items[0] if items else schema.get("items", {}))
        number = f"{len(items)} × " if items else ""
        return f"list of {number}({inner})" if " or " in inner or "," in inner else f"list of {number}{inner}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {type_words(inner)}" if isinstance(inner, Mapping) else "mapping"
    if schema.get("format") == "path":
        return "path"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([_TYPES.get(str(kind), "any"), ", ".join(bounds)]).strip()


def default_words(field: FieldInfo) -> str:
    """The default of an option as YAML writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        options = value.model_dump(mode="json", exclude_defaults=True)
        value = value.model_dump(mode="json")
        if "kind" in value and not options.keys() - {"kind"}:
            value = value["kind"]  # a word stands for it
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def options_table(cls: type[BaseModel], without: Iterable[str] = ()) -> str:
    """The options of a class: key, type, default, description; below it those of the mappings among them."""
    texts = descriptions(cls)
    properties = cls.model_json_schema()["properties"]
    left_out = set(without)
    fields = {name: field for name, field in cls.model_fields.items() if name not in left_out}
    if not fields:
        return "It has no keys of its own."
    rows = (
        (f"`{name}`", type_words(properties[name]), default_words(field), _plain(texts.get(name)))
        for name, field in fields.items()
    )
    parts = [table(_HEAD, rows)]
    for name, field in fields.items():
        for model in _models_in(field.annotation):
            if "kind" in model.model_fields:  # a component has a section of its own
                continue
            parts += [f"`{name}`{_in_a_list(field.annotation)}: {_docstring(model)}", options_table(model)]
    return "\n\n".join(parts)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


def _in_a_list(annotation: Any) -> str:
    return ", each entry" if "tuple" in str(annotation) or "list" in str(annotation) else ""


def _docstring(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _first_paragraph(cls: type) -> str:
    return _docstring(cls).split("\n\n", 1)[0]


def _anchor(name: str) -> str:
    """What links to a heading name: an id of the heading itself would show as text on a code host."""
    return f'<a id="{name}"></a>'


_FAMILIES = {
    "modality": ("Modalities", "Each entry of `modalities` is one of these."),
    "architecture": ("Architectures", "The option `network` of most modalities is one of these."),
    "likelihood": ("Likelihoods", "The option `likelihood` of most modalities is one of these."),
    "source": ("Sources", "`data` is one of these."),
    "model": ("Models", "`model` is one of these."),
    "prior": ("Priors", "The option `prior` of a model is one of these."),
    "watcher": ("Watchers", "Each entry of the list `train.watch` is one of these."),
    "evaluator": ("Evaluators", "Each entry of the list `evaluate` is one of these."),
}


def components() -> str:
    """A section for each family of components, and in it one for each component that ships with mmtoolkit."""
    from mmtoolkit.components import FAMILIES, Modality, Unit
    from mmtoolkit.components.plugins import load_plugins

    plugins = load_plugins()
    if plugins.broken:
        raise PluginError("; ".join(plugins.broken))
    parts = []
    for family in (Modality if family is Unit else family for family in FAMILIES):
        heading, place = _FAMILIES[family.family]
        parts += [_anchor(family.family), f"## {heading}", _first_paragraph(family), place]
        if shared := [name for name in family.model_fields if name != "kind"]:
            parts += [f"Keys of every {family.family}, beside `kind`:", options_table(family, {"kind"})]
        for kind, cls in sorted(plugins.of_family(family.family).items()):
            if plugins.origins[cls].distribution != _DISTRIBUTION:
                continue
            parts += [
                _anchor(f"{family.family}-{kind}"),
                f"### {kind}",
                _docstring(cls),
                *_forms(cls),
                f"In Python: `{cls.__module__.partition('.')[0]}.{cls.__qualname__}`.",
                options_table(cls, {"kind", *(shared if _shares(cls, family) else ())}),
            ]
    return "\n\n".join(parts)


def _forms(cls: type[BaseModel]) -> Iterator[str]:
    """A line on the forms of values that an architecture or a likelihood is for."""
    from mmtoolkit.components import Architecture, Likelihood

    if issubclass(cls, Architecture):
        yield f"It has networks for {', '.join(form.name for form in cls.reads)}."
    elif issubclass(cls, Likelihood):
        yield f"It scores {', '.join(form.name for form in cls.scores)}."


def _shares(cls: type[BaseModel], family: type[BaseModel]) -> bool:
    """Whether a class has the options of its family with their defaults, so that its own table need not show them.

    A record is no modality and has none of them.
    """
    return issubclass(cls, family) and not any(
        default_words(cls.model_fields[name]) != default_words(field)
        for name, field in family.model_fields.items()
        if name != "kind"
    )


def top_level() -> str:
    """The keys of a schema."""
    from mmtoolkit.schema.schema import DEFAULT_EVALUATE, Schema

    words = {
        "data": ("mapping", "See [Sources](#source)."),
        "modalities": ("mapping", "See [Modalities](#modality)."),
        "model": ("mapping", "See [Models](#model)."),
        "train": ("mapping", "See [Training](#train)."),
        "evaluate": ("list of mappings", "See [Evaluators](#evaluator)."),
    }
    rows, texts = [], descriptions(Schema)
    for attribute, field in Schema.model_fields.items():
        name = field.alias or attribute
        kind, link = words.get(name, ("text", ""))
        default = default_words(field)
        if name == "evaluate":
            default = f"`{_yaml(DEFAULT_EVALUATE)}`"
        elif name == "train":
            default = "all defaults"
        rows.append((f"`{name}`", kind, default, f"{_plain(texts[attribute])} {link}".strip()))
    return table(_HEAD, rows)


def train_options() -> str:
    """The options of training."""
    from mmtoolkit.schema.optimization import SCHEDULES, OptimizerOptions
    from mmtoolkit.schema.train import TrainOptions

    parts = [_docstring(TrainOptions), options_table(TrainOptions), f"`optimizer`: {_docstring(OptimizerOptions)}"]
    for cls in SCHEDULES:
        kind = cls.model_fields["kind"].default
        parts += [f"`schedule`, kind `{kind}`: {_docstring(cls)}", options_table(cls, {"kind"})]
    return "\n\n".join(parts)


# The command line.


def commands() -> str:
    """A section for each command: help, arguments and options, examples."""
    package = importlib.import_module("mmtoolkit.cli")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)  # the commands register themselves
    from mmtoolkit.cli.app import app

    root = typer.main.get_command(app)
    parts = ["## Global options", _parameters(root)]
    for name, command in sorted(_leaves(root)):
        parts += [f"## mmt {name}", f"```text\n{_usage(name, command)}\n```", inspect.cleandoc(command.help or "")]
        parts += [text for text in (_parameters(command), _examples(command)) if text]
    return "\n\n".join(parts)


def _leaves(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*before, name))
        if not command.hidden and getattr(command, "invoke_without_command", True):  # a group may run alone
            yield " ".join((*before, name)), command


def _shown(parameters: Iterable[Any]) -> list[Any]:
    return [p for p in parameters if not getattr(p, "hidden", False) and "--help" not in p.opts]


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _usage(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [_metavar(p) if p.required else f"[{_metavar(p)}]" for p in arguments]
    return " ".join(["mmt", name, *words, "[OPTIONS]"])


def _flags(parameter: Any) -> str:
    value = "" if parameter.is_flag else f" {_metavar(parameter)}"
    return ", ".join(f"`{flag}{value}`" for flag in (*parameter.opts, *parameter.secondary_opts))


def _parameters(command: Any) -> str:
    rows = []
    for parameter in _shown(command.params):
        argument = parameter.param_type_name == "argument"
        name = f"`{_metavar(parameter)}`" if argument else _flags(parameter)
        if parameter.required:
            default = "required"
        elif parameter.default is None or parameter.default is False:
            default = ""
        else:
            default = f"`{parameter.default}`"
        rows.append((name.replace("|", "\\|"), default, _plain(parameter.help)))
    return table(("argument or option", "default", "description"), rows) if rows else ""


def _examples(command: Any) -> str:
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    shown = [line for line in lines if line.startswith("mmt ")]
    return "```sh\n" + "\n".join(shown) + "\n```" if shown else ""


# The public names.


_MODALITIES = ("mmt_image", "mmt_series", "mmt_text", "mmt_attributes", "mmt_binary", "mmt_record")


def names() -> str:
    """A line for each public name: what it is, in the first sentence of its docstring."""
    folders = [_ROOT, _ROOT / "plugins"]
    library, *modalities = (
        griffe.load(package, search_paths=folders, resolve_aliases=True) for package in (_DISTRIBUTION, *_MODALITIES)
    )
    tables = []
    for package in (library, library["testing"], library["sklearn"], *modalities):
        public = importlib.import_module(package.path).__all__
        rows = (
            (f"[`{name}`](#{package.path}.{name})", _first_sentence(package[name]))
            for name in sorted(public, key=str.lower)
        )
        tables.append(table((f"`{package.path}`", "what it is"), rows))
    return "\n\n".join(tables)


def _first_sentence(documented: griffe.Object | griffe.Alias) -> str:
    text = inspect.cleandoc(documented.docstring.value) if documented.docstring else ""
    return _plain(re.split(r"(?<=\.)(?<!et al\.)\s|\n\n", text, maxsplit=1)[0])


_GENERATORS: dict[str, Callable[[], str]] = {
    "schema": top_level,
    "train": train_options,
    "components": components,
    "commands": commands,
    "names": names,
    "wines": wines,
    "reproduction": reproduction,
    "zoo": zoo,
    "given a label": partial(settings, "figure2-mnist-small"),
    "options on MNIST": partial(settings, "options-mnist-small"),
    "options on BinaryMNIST": partial(settings, "options-binary_mnist-small"),
}


if __name__ == "__main__":
    write_pages()
