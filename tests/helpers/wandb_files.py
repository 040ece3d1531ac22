"""Reads what wandb wrote offline: a log in LevelDB's format, whose records are protocol buffers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made while it is imported

_BLOCK, _FILE_HEADER, _HEADER = 32_768, 7, struct.Struct("<IHB")
_FULL, _LAST = 1, 4


def records(file: Path) -> Iterator[Record]:
    """The records of a `.wandb` file."""
    content = file.read_bytes()
    assert content.startswith(b":W&B")
    place, parts = _FILE_HEADER, b""
    while place + _HEADER.size <= len(content):
        if _BLOCK - place % _BLOCK < _HEADER.size:  # no header fits into the rest of a block
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, place)
        place += _HEADER.size
        parts += content[place : place + length]
        place += length
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def history(file: Path) -> list[dict[str, Any]]:
    """What was logged, one entry for each call."""
    entries = [record.history for record in records(file) if record.WhichOneof("record_type") == "history"]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry.item} for entry in entries
    ]


def exit_code(file: Path) -> int:
    """The exit code of the run."""
    (code,) = [record.exit.exit_code for record in records(file) if record.WhichOneof("record_type") == "exit"]
    return int(code)


def run_id(file: Path) -> str:
    """The identity of the run."""
    return str(next(r.run.run_id for r in records(file) if r.WhichOneof("record_type") == "run"))


def config(file: Path) -> dict[str, Any]:
    """The options that were logged with the run or after it began."""
    values: dict[str, Any] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        updates = record.run.config.update if kind == "run" else record.config.update if kind == "config" else ()
        values |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}
    return values
