"""The head of a run's report, which notebooks show too: name, model, modalities and how well each is predicted."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtoolkit.base.words import number
from mmtoolkit.runs.cross_modal import from_others
from mmtoolkit.runs.folder import read_data, read_declared, read_history, read_record, read_results

if TYPE_CHECKING:
    import jinja2

_MOST_MODALITIES = 12  # in a notebook


@cache
def templates() -> jinja2.Environment:
    """The templates of reports."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmtoolkit", "runs"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "share": lambda value: "" if value is None else f"{value:.1%}"}
    return environment


def head_of(folder: Path) -> dict[str, Any]:
    """What the head of a report shows of a run, from the files of its folder.

    Raises:
        UserError: the folder holds no run with results, or it is damaged.
    """
    record, results, declared = read_record(folder), read_results(folder), read_declared(folder)
    history = read_history(folder, results["training"]["epochs"])
    data = read_data(folder)
    modalities = data.get("modalities") or declared["modalities"]  # a run of 0.1 has no records
    names = [name for name, modality in modalities.items() if modality.get("modelled", True)]
    return {
        "record": record,
        "results": results,
        "model": declared["model"],
        "seconds": sum(line["seconds"] for line in history),
        "speed": history[-1]["rows_per_second"] if history else None,
        "data": data,
        "names": names,
        "kinds": {name: modality["kind"] for name, modality in modalities.items()},
        "from_others": from_others(results["scores"], names),
    }


def head_in_notebook(folder: Path) -> str:
    """The head of a run's report as a piece of HTML with its own style, of which a page may hold several.

    Raises:
        UserError: as `head_of`.
    """
    template = templates().get_template("report_in_notebook.html.jinja")
    return template.render(head_of(folder), most=_MOST_MODALITIES)
