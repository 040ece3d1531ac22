"""`mmt list` and `mmt data`: the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from mmtoolkit.cli.app import app, out, print_json, say

Kind = Literal["schemas", "studies", "models", "datasets", "plugins", "results", "published"]

_IN_JSON_ALONE = {"scores"}  # a table has no room for them

data = typer.Typer(no_args_is_help=True, help="Fetch data sets; delete prepared data.")
app.add_typer(data, name="data")


@app.command("list", epilog="Examples:\n\n  mmt list datasets\n\n  mmt list schemas mnist > mine.yaml")
def list_(
    what: Annotated[
        Kind | None,
        typer.Argument(help="schemas, studies, models, datasets, plugins, results or published. Default: all."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="Print the YAML file of this schema, study, model, data set, result or published result."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Show the catalogue: schemas, studies, trained models, data sets, plugins, our results, published results."""
    from mmtoolkit.catalogue import shipped
    from mmtoolkit.cli.tables import table

    if what is not None and name is not None:
        path = _file(what, name)
        if json:
            print_json(shipped.read_document(path).data)
        else:
            out().print(path.read_text(encoding="utf-8"), end="", markup=False, highlight=False, soft_wrap=True)
        return
    entries_of: dict[str, Callable[[], dict[str, dict[str, str]]]] = {
        "schemas": lambda: _abouts(shipped.schemas()),
        "studies": lambda: _abouts(shipped.studies()),
        "models": _models,
        "datasets": _data_sets,
        "plugins": _plugins,
        "results": _results,
        "published": lambda: _abouts(shipped.publications()),
    }
    catalogue = {kind: entries_of[kind]() for kind in (entries_of if what is None else [what])}
    if json:
        print_json(catalogue)
        return
    for title, entries in catalogue.items():
        if not entries:
            out().print(f"[bold]{title}[/]: none")
            continue
        columns = [column for column in next(iter(entries.values())) if column not in _IN_JSON_ALONE]
        rows = table(title, "name", *columns)
        rows.columns[0].no_wrap = True  # to be copied
        for name, entry in entries.items():
            rows.add_row(name, *(escape(entry[column]) for column in columns))
        out().print(rows)


def _file(what: Kind, name: str) -> Path:
    """The YAML file of an entry of the catalogue."""
    from mmtoolkit.base.errors import UserError
    from mmtoolkit.base.locations import CARD
    from mmtoolkit.base.words import did_you_mean
    from mmtoolkit.catalogue import shipped
    from mmtoolkit.catalogue.models import models
    from mmtoolkit.catalogue.results import result_files

    files_of: dict[str, Callable[[], dict[str, Path]]] = {
        "schemas": shipped.schemas,
        "studies": shipped.studies,
        "models": lambda: {model: folder / CARD for model, folder in models().items()},
        "datasets": shipped.data_card_files,
        "results": result_files,
        "published": shipped.publications,
    }
    if what not in files_of:
        raise UserError(f"{name}: {what} have no files in the catalogue; `mmt list {what}` shows all")
    files = files_of[what]()
    if name not in files:
        hint = did_you_mean(name, list(files))
        raise UserError(f"{name}: is none of the {what} of the catalogue{hint}; `mmt list {what}` shows them")
    return files[name]


def _data_sets() -> dict[str, dict[str, str]]:
    from mmtoolkit.base.errors import UserError
    from mmtoolkit.catalogue import shipped

    entries = {}
    for name, card in shipped.data_cards().items():
        try:
            where = "bundled" if card.bundled else str(shipped.find_data_set(name))
        except UserError:
            where = f"by hand: mmt data get {name} says how" if card.by_hand else f"mmt data get {name}"
        counts = " + ".join(f"{count:,} {split}" for split, count in card.splits.items())
        entries[name] = {"about": card.title, "rows": counts, "licence": card.licence, "where": where}
    return entries


def _plugins() -> dict[str, dict[str, str]]:
    from mmtoolkit.catalogue import shipped

    return {name: {"about": card.about, "install": card.install} for name, card in shipped.plugin_cards().items()}


def _results() -> dict[str, dict[str, str]]:
    from mmtoolkit.catalogue.results import results

    return {
        name: {
            "run": f"{result.title}, seed {result.seed}",
            "epochs": f"{result.epochs.trained} of {result.epochs.planned}",
            "rows": f"{result.rows['train']:,}",
        }
        for name, result in results().items()
    }


def _models() -> dict[str, dict[str, str]]:
    from mmtoolkit.base.words import number
    from mmtoolkit.catalogue.models import model_card, model_size, models

    entries = {}
    for name, folder in models().items():
        card = model_card(folder)
        entries[name] = {
            "schema": card.schema_name,
            "epochs": f"{card.epochs:,}",
            "rows": f"{card.rows:,}",
            "size": f"{model_size(folder) / 1e6:.1f} MB",
            "licence": card.licence or "",
            "scores": "\n".join(f"{what} {number(value)}" for what, value in card.scores.items()),
        }
    return entries


def _abouts(documents: dict[str, Path]) -> dict[str, dict[str, str]]:
    from mmtoolkit.catalogue import shipped

    return {name: {"about": shipped.about(path)} for name, path in documents.items()}


@data.command("get", epilog="Example:\n\n  mmt data get mnist")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set from `mmt list datasets`.")],
) -> None:
    """Fetch a data set into $MMT_DATA or your data folder, and verify its checksums."""
    from mmtoolkit.catalogue import shipped

    out().print(escape(str(shipped.get_data_set(name, say))), soft_wrap=True)


@data.command("clean")
def clean() -> None:
    """Delete all prepared data; a command that needs it prepares it again."""
    from mmtoolkit.base.locations import clean_prepared, prepared_folder

    out().print(escape(f"{clean_prepared() / 1e6:,.1f} MB freed in {prepared_folder()}"), soft_wrap=True)
