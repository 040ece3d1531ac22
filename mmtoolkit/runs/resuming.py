"""Decides which settings a resumed run may change, and which must stay the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import Path as KeyPath
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.runs.folder import ELSEWHERE, UNWATCHED, read_record
from mmtoolkit.runs.plugin_files import changed_files
from mmtoolkit.schema.faults import key_path
from mmtoolkit.schema.schema import Schema, read_schema
from mmtoolkit.schema.train import TrainOptions

MAY_CHANGE = ("train.epochs", "train.watch")
"""The keys of the schema that may differ. All others determine the weights."""
_LENGTHS = ("train.schedule.epochs", "train.warmup", "train.warmup_epochs")
"""Keys that may differ where the lengths that follow from them and from `train.epochs` stay the same."""


@dataclass(frozen=True)
class _Fact:
    """Something in run.json that must stay the same.

    Attributes:
        of: reads it from the content of run.json.
        text: names it for the user, from the value before and the value now.
    """

    of: Callable[[dict[str, Any]], Any]
    text: Callable[[Any, Any], str]


MUST_STAY = (
    _Fact(lambda record: record.get("precision"), lambda was, now: f"--precision (it was {was}, now {now})"),
    _Fact(lambda record: record.get("data"), lambda was, now: "the data's files"),
    _Fact(
        lambda record: {p["checksum"] for p in record["plugins"] if p["checksum"]},
        lambda was, now: "a --plugin file",
    ),
)
"""The rest of run.json may change: the device, the versions, the command."""


_AGAIN = ("command", "device", "versions", "threads", "kernels")
"""The keys of run.json that each resumption records for itself."""


def check_schema(folder: Path, schema: Schema, plugins: Plugins) -> None:
    """Raise if a run's schema differs from the one in its folder in keys other than `MAY_CHANGE`.

    A plugin file of the run must be the same too: training goes on only by the code that began it.
    """
    record = read_record(folder)
    if record.get(ELSEWHERE):
        raise UserError(
            f"{folder}: was trained elsewhere, so there is nothing to resume; write elsewhere with --out FOLDER"
        )
    for file in changed_files(folder, record, plugins):
        raise UserError(
            f"{folder}: cannot resume, because {file}; undo the change, or write elsewhere with --out FOLDER"
        )
    before = read_schema(folder / "schema.yaml", [UNWATCHED], plugins)
    _check_lengths(folder, before.train, schema.train)
    paths = [key_path(path) for path in _differences(before.model_dump(mode="json"), schema.model_dump(mode="json"))]
    changes = [path for path in paths if path not in (*MAY_CHANGE, *_LENGTHS)]
    if changes:
        raise UserError(
            f"{folder}: holds a run of another schema, which differs in {', '.join(changes)}; --resume may change only "
            f"{', '.join(MAY_CHANGE)}: undo the change, or write elsewhere with --out FOLDER"
        )


def _check_lengths(folder: Path, before: TrainOptions, now: TrainOptions) -> None:
    """Raise if steps that are done would have had another step size, or another weight of the KL divergence.

    Both may depend on the number of epochs. Where another option holds their length, epochs may change.
    """
    faults = []
    if before.horizon and now.horizon and before.horizon != now.horizon:
        faults.append(
            f"the schedule of the step size runs over {before.horizon} epochs, not {now.horizon}; "
            f"give --set train.schedule.epochs={before.horizon}"
        )
    if not math.isclose(before.warm_up, now.warm_up):
        length = f"train.warmup={before.warm_up / now.epochs}"
        if float(before.warm_up).is_integer():
            length = f"train.warmup=null --set train.warmup_epochs={before.warm_up:.0f}"
        faults.append(
            f"the weight of the KL divergence rises over {before.warm_up:g} epochs (train.warmup_epochs, or the share "
            f"train.warmup of all steps), not {now.warm_up:g}; give --set {length}"
        )
    if faults:
        raise UserError(
            [f"{folder}: cannot resume, because {fault}, or write elsewhere with --out FOLDER" for fault in faults]
        )


def resumed_record(folder: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Add this resumption to the content of the folder's run.json, and clear the finish time.

    Args:
        folder: the run folder.
        now: the content of run.json if the run began now.

    Raises:
        UserError: a fact of `MUST_STAY` changed.
    """
    before = read_record(folder)
    pairs = [(fact, fact.of(before), fact.of(now)) for fact in MUST_STAY]
    changes = [fact.text(was, is_now) for fact, was, is_now in pairs if was != is_now]
    if changes:
        raise UserError(
            f"{folder}: cannot resume, because {', '.join(changes)} changed since; undo the change, or write elsewhere "
            "with --out FOLDER"
        )
    again = {key: now[key] for key in _AGAIN} | {"started": now["times"]["started"]}
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
