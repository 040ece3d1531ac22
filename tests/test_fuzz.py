"""Schemas that a clumsy hand has been at: read, or refused in lines that each name a place and a remedy."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmtoolkit import catalogue
from mmtoolkit.errors import UserError
from mmtoolkit.plugins import Plugins, load_plugins
from mmtoolkit.schema import read_schema
from mmtoolkit.yaml12 import read_yaml, write_yaml

ROUNDS = 25
EACH_ROUND = 12

RICH: dict[str, Any] = {
    "name": "rich",
    "data": {
        "kind": "mnist",
        "root": "d",
        "rows": {"train": 5},
        "supervision": {"paired": 0.1, "groups": [["image"], ["a"]], "rest": "keep", "seed": 1},
    },
    "modalities": {
        "image": {"kind": "image", "shape": [1, 8, 8], "scale": 0.1, "likelihood": "gaussian"},
        "l": {"kind": "label", "each": ["a", "b"]},
    },
    "model": {"kind": "mvae", "subsets": {"k": 1, "sampling": "by_size"}},
    "train": {"epochs": 1},
    "evaluate": [{"kind": "elbo", "entries": [{"target": ["image"], "given": ["a"]}]}, {"kind": "prediction"}],
}
KEYS = """kind name data modalities model train evaluate each column shape root rows supervision groups paired keep k
    subsets epochs entries target given classes a.b a/b ü type keys weight latent_dim scale family seed 0 01 -1 ²
    model_config __class__ _origins at notes model_fields redraws""".split()  # noqa: SIM905
KEYS += ["", "\n", " x", "a=b", '"', "'", "x" * 400, "[a]", "\x1b[31m"]
VALUES: list[Any] = [None, True, False, 0, 1, -1, 10**30, 10**399, 1e308, float("inf"), float("nan"), 1e-320, 0.5]
VALUES += [
    "",
    "x",
    "mnist",
    "image",
    "label",
    "mvae",
    "elbo",
    "1",
    "a\nb",
    "\0",
    "~",
    "~nobody/x",
    "/",
    "..",
    "x" * 5000,
]
VALUES += [[], {}, [[]], [None], [1, 2], ["a", "a"], [1, 28, 28], [1, 10**9, 10**9], ["a", 1], {"": 1}, [{}]]
VALUES += [{"kind": kind} for kind in (None, [], {}, 1, True, "image", "label", "mvae")] + [{"a": {"b": {"c": 1}}}]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places(data[key], (*path, key))


def mutated(data: Any, draw: random.Random) -> Any:
    """The data with a few keys or values replaced, removed, added or renamed."""
    data = copy.deepcopy(data)
    for _ in range(draw.randrange(1, 4)):
        path = draw.choice([*places(data)] or [()])
        if not path or draw.random() < 0.01:
            return copy.deepcopy(draw.choice(VALUES))
        around = data
        for key in path[:-1]:
            around = around[key]
        value = copy.deepcopy(draw.choice(VALUES))
        match draw.randrange(4):
            case 0:
                del around[path[-1]]
            case 1 if isinstance(around, dict):
                around[draw.choice(KEYS)] = value
            case 2 if isinstance(around, dict):
                around[draw.choice(KEYS)] = around.pop(path[-1])
            case _:
                around[path[-1]] = value
    return data


def scribbled(data: bytes, draw: random.Random) -> bytes:
    """The bytes with a few removed, replaced or added."""
    for _ in range(draw.randrange(1, 4)):
        start = draw.randrange(len(data) + 1)
        new = draw.choice(
            [b"", b"\t", b"[", b"}", b": ", b"\n", b"- ", b'"', b"'", b"&a ", b"*a", b"!t ", b"%", b"\xff"]
        )
        data = data[:start] + new + data[start + draw.choice([0, 1, 8]) :]
    return data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data


def overrides(data: Any, draw: random.Random) -> list[str]:
    found = []
    for _ in range(draw.choice([0, 0, 1, 2])):
        path = list(draw.choice([*places(data)] or [("train",)]))
        if draw.random() < 0.4:
            path.append(draw.choice(KEYS))
        keys = [f'"{key}"' if draw.random() < 0.3 else str(key) for key in path]
        value = draw.choice(VALUES)
        found.append(".".join(keys) + "=" + (write_yaml(value).strip() if draw.random() < 0.7 else str(value)))
    return found


@pytest.fixture(scope="module")
def plugins() -> Iterator[Plugins]:
    return load_plugins()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_schema_is_read_or_refused_in_lines(
    seed: int, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(seed)
    bases = [read_yaml(path.read_text(), path.name).data for path in catalogue.schemas().values()] + [RICH] * 3
    for _ in range(EACH_ROUND):
        data = mutated(draw.choice(bases), draw) if draw.random() < 0.7 else draw.choice(bases)
        text = write_yaml(data).encode()
        Path("s.yaml").write_bytes(scribbled(text, draw) if draw.random() < 0.4 else text)
        sets = overrides(data, draw)
        try:
            schema = read_schema("s.yaml", sets, plugins)
        except UserError as error:
            for line in error.faults:
                assert line.startswith(("s.yaml:", "--set ")), (line, sets)
                assert "; " in line, (line, sets)
                assert line.isprintable(), (line, sets)
        else:
            Path("resolved.yaml").write_text(schema.to_yaml(), encoding="utf-8")
            assert read_schema("resolved.yaml", plugins=plugins) == schema
