"""What a resumed run may change, and what must be as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.catalogue.plugins import Plugins
from mmtoolkit.runs.folder import read_record
from mmtoolkit.schema.faults import key_path
from mmtoolkit.schema.schema import Schema, read_schema

MAY_CHANGE = ("train.epochs",)
"""The keys of the schema that may differ: all others make the weights what they are."""


@dataclass(frozen=True)
class _Fact:
    """Something of run.json that must be as it was.

    Attributes:
        of: what it is in run.json's data.
        text: what the user calls it, given what it was and what it is.
    """

    of: Callable[[dict[str, Any]], Any]
    text: Callable[[Any, Any], str]


MUST_STAY = (
    _Fact(lambda record: record.get("precision"), lambda was, now: f"--precision (it was {was}, now {now})"),
    _Fact(lambda record: record.get("data"), lambda was, now: "the data's files"),
    _Fact(
        lambda record: {(p["name"], p["checksum"]) for p in record["plugins"] if p["checksum"]},
        lambda was, now: "a --plugin file",
    ),
)
"""The rest of run.json may change: the device, the versions, the command."""


def check_schema(folder: Path, schema: Schema, plugins: Plugins) -> None:
    """Raise where a run's schema differs from the one in its folder in more than `MAY_CHANGE`."""
    before = read_schema(folder / "schema.yaml", plugins=plugins).model_dump(mode="json")
    paths = [key_path(path) for path in _differences(before, schema.model_dump(mode="json"))]
    changed = [path for path in paths if path not in MAY_CHANGE]
    if changed:
        raise UserError(
            f"{folder}: holds a run of another schema ({', '.join(changed)} differ); --resume may change "
            f"{', '.join(MAY_CHANGE)} alone: undo the change, or write elsewhere with --out FOLDER"
        )


def resumed_record(folder: Path, now: dict[str, Any]) -> dict[str, Any]:
    """The run.json of the folder, unfinished, with this continuation added.

    Args:
        folder: of the run.
        now: what run.json would hold if the run began now.

    Raises:
        UserError: something of `MUST_STAY` changed.
    """
    before = read_record(folder)
    pairs = [(fact, fact.of(before), fact.of(now)) for fact in MUST_STAY]
    changed = [fact.text(was, is_now) for fact, was, is_now in pairs if was != is_now]
    if changed:
        raise UserError(
            f"{folder}: cannot go on: {', '.join(changed)} changed since; undo it, or write elsewhere with --out FOLDER"
        )
    again = {key: now[key] for key in ("command", "device", "versions")} | {"started": now["times"]["started"]}
    # Until this ends, weights and scores may come from different epochs.
    times = {**before["times"], "finished": None}
    return {**before, "times": times, "resumed": [*before.get("resumed", []), again]}


def _differences(before: Any, now: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of the keys that differ between two schemas."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(before.get(key), now.get(key), (*path, key))
    elif before != now:
        yield path
