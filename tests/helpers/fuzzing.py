"""Schemas and tables that a clumsy hand has been at: read, or refused in lines that each name a place and a remedy.

Tables are prepared for training, and used: a first schema is made of them, a run fills, embeds and scores them. Sound
tables (`known`) are filled, and no known cell may change. The suite looks at a few of each. Many more, in a folder of
their own:

    python tests/helpers/fuzzing.py --cases 20000 [--seed 0] [--what schemas|tables|uses|known]
"""

from __future__ import annotations

import argparse
import copy
import csv
import io
import json
import math
import os
import random
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import PIL.Image
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

import known_cells
from mmtoolkit import TrainedRun, parse_schema, prepare, run
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml, write_yaml
from mmtoolkit.catalogue import shipped
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.first_schema import first_schema
from mmtoolkit.runs.scoring_tables import evaluate_table
from mmtoolkit.schema.schema import read_schema
from mmtoolkit.tables import Reading, open_table
from mmtoolkit.tables.fitting import plain
from mmtoolkit.using.embedding import embed_table
from mmtoolkit.using.imputed_table import impute_table
from mmtoolkit.using.user_table import UserFile, file_as_set

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
KINDS: list[Any] = [None, [], {}, 1, True, "image", "label", "mvae"]
VALUES += [{"kind": kind} for kind in KINDS] + [{"a": {"b": {"c": 1}}}]


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


def bases() -> list[Any]:
    return [read_yaml(path.read_text(), path.name).data for path in shipped.schemas().values()] + [RICH] * 3


def schema_case(draw: random.Random, plugins: Plugins, known: list[Any]) -> str:
    """Read a schema in the current folder; whether it was refused. Any exception that comes out is a fault of ours."""
    data = mutated(draw.choice(known), draw) if draw.random() < 0.7 else draw.choice(known)
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
        return "refused"
    Path("resolved.yaml").write_text(schema.to_yaml(), encoding="utf-8")
    assert read_schema("resolved.yaml", plugins=plugins) == schema
    return "read"


# Tables.

COLUMNS = ("photo", "colour", "price", "vegan", "title", "split")
CELLS: dict[str, list[Any]] = {
    "photo": ["a.png", "b.png", "half.png", "gone.png", "../a.png", "loop.png", "sub", "", None],
    "colour": ["red", "green", "blue", "", "NA", None],
    "price": ["1.5", "2", "-3e4", "1e400", "nan", "1,5", "", None],
    "vegan": [*["yes", "no"] * 20, "", "maybe", None],
    "title": ["a b", "ü", "", None, "x" * 40, "two words", "a\nb", 'q"q'],
    "split": ["train", "train", "train", "valid", "test", ""],
}
ODD: list[Any] = [
    "\0",
    "\ufeff",
    "\u2028",
    "😀",
    "a" * 5000,
    "=1+1",
    "0x10",
    "1_000",
    "١٢",
    "None",
    "-0",
    "٫",
    "\x1b[31m",
    "/",
    "~",
    ".",
]
TYPED_ODD: list[Any] = [True, 0, 10**30, -1.5, float("inf"), [], [1, 2], {"a": 1}, b"\x89PNG", "x"]
SHOES: dict[str, Any] = {
    "name": "shoes",
    "data": {"kind": "table", "path": "t.csv", "on_bad_cell": "missing"},
    "modalities": {
        "photo": {"kind": "image", "shape": [1, 8, 8], "network": "mlp"},
        "colour": {"kind": "label"},
        "price": {"kind": "numeric"},
        "vegan": {"kind": "binary"},
        "title": {"kind": "text", "length": 20},
    },
    "model": {"kind": "mvae", "latent_dim": 2},
}
TABLE_OPTIONS: list[dict[str, Any]] = [
    {},
    {},
    {"on_bad_cell": "error"},
    {"split": "split"},
    {"split": {"train": 0.5, "test": 0.5}},
    {"group": "colour"},
    {"delimiter": ";"},
    {"delimiter": ","},
    {"encoding": "utf-16"},
    {"encoding": "latin-1"},
    {"missing": []},
    {"absent_files": "missing"},
    {"files_outside": True},
    {"rows": {"train": 2}},
    {"supervision": {"keep": 0.5}},
    {"format": "csv"},
    {"format": "jsonl"},
    {"format": "json"},
    {"format": "xlsx"},
    {"sheet": "Sheet"},
    {"format": "parquet"},
]


def lay_out(folder: Path) -> None:
    """The files that cells name."""
    for name in ("a.png", "b.png"):
        PIL.Image.effect_noise((8, 8), 90).save(folder / name)
    (folder / "half.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "sub").mkdir()


def written(draw: random.Random) -> Path:
    """A table in the current folder, in one of the formats, with what a careless hand leaves in it."""
    names = list(COLUMNS)
    rows = [{name: draw.choice(CELLS[name]) for name in names} for _ in range(draw.choice([0, 3, 12, 30, 60]))]
    if draw.random() < 0.3 and rows:
        draw.choice(rows)[draw.choice(names)] = draw.choice(ODD)
    if draw.random() < 0.1:
        names.remove(draw.choice(names))
    if draw.random() < 0.05:
        names.append(draw.choice(names))
    if draw.random() < 0.05:
        names[draw.randrange(len(names))] = draw.choice(ODD)
    kind = draw.choice(["csv", "csv", "csv", "tsv", "jsonl", "json", "xlsx", "parquet", "feather"])
    path = Path(f"t.{kind}")
    if kind in ("csv", "tsv"):
        text = io.StringIO(newline="")
        delimiter = "\t" if kind == "tsv" else draw.choice(",,,;|")
        writer = csv.writer(text, delimiter=delimiter, quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        writer.writerows([names, *([row.get(name) or "" for name in names] for row in rows)])
        path.write_bytes(text.getvalue().encode(draw.choice([*["utf-8"] * 12, "utf-8-sig", "utf-16"])))
    elif kind in ("jsonl", "json"):
        if rows and draw.random() < 0.3:
            draw.choice(rows)[draw.choice(names)] = draw.choice([x for x in TYPED_ODD if not isinstance(x, bytes)])
        lines = [json.dumps({n: row.get(n) for n in names}) for row in rows]
        array = kind == "json" and draw.random() < 0.8
        path.write_text(f"[{', '.join(lines)}]" if array else "".join(f"{x}\n" for x in lines), encoding="utf-8")
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        table_rows: list[list[Any]] = [names, *([row.get(name) for name in names] for row in rows)]
        for cells in table_rows:
            texts = [text and "".join(c for c in text if c.isprintable() or c == "\n") for text in cells]
            book.active.append([float(text) if text in ("1.5", "2") else text for text in texts])
        book.save(path)
    else:
        columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in names]
        if draw.random() < 0.4:
            odd = draw.choice(TYPED_ODD)
            columns[draw.randrange(len(columns))] = pa.array(
                [None if isinstance(odd, int) and odd > 2**60 else odd] * len(rows)
            )
        table = pa.Table.from_arrays(columns, names=names)
        write = pyarrow.parquet.write_table if kind == "parquet" else pyarrow.feather.write_feather
        write(table, path)
    if draw.random() < 0.3:
        path.write_bytes(scribbled(path.read_bytes(), draw) if path.stat().st_size else b"\n")
    return path


# What lines say that name no remedy of their own: they stand beside one that does.
_NOTES = ("and more lines like these", "and more cells like these", "count as missing", "and are left out")


def in_lines(error: UserError) -> None:
    """Raise where a line of a fault cannot be shown or says nothing to do."""
    listed = error.faults[0].endswith(":")  # it says what to do about those that follow
    for line in error.faults:
        assert line.isprintable(), line
        assert listed or "; " in line or any(words in line for words in _NOTES), line


def table_case(draw: random.Random, plugins: Plugins) -> str:
    """Prepare a table in the current folder; whether it was refused."""
    path = written(draw)
    data = {**SHOES["data"], "path": path.name}
    for _ in range(draw.choice([0, 0, 1, 2])):
        data |= draw.choice(TABLE_OPTIONS)
    names = draw.sample(list(SHOES["modalities"]), draw.randrange(1, 6))
    modalities = {name: SHOES["modalities"][name] for name in names}
    try:
        schema = parse_schema({**SHOES, "data": data, "modalities": modalities}, folder=Path.cwd(), plugins=plugins)
        found = prepare(schema.data, schema.units, schema.at)
    except UserError as error:
        in_lines(error)
        return "refused"
    for split in found.splits.values():
        for name in names:
            for values in split.values(name):
                assert values.isfinite().all(), (name, values)
    return "read"


# Uses of a table.


def trained(folder: Path) -> TrainedRun:
    """A run on shoes without a fault, trained for a moment."""
    draw = random.Random(0)
    rows = [{name: draw.choice([x for x in CELLS[name][:3] if x]) for name in COLUMNS} for _ in range(40)]
    for row in rows:
        row |= {"photo": draw.choice(["a.png", "b.png"]), "split": draw.choice(["train", "valid"])}
    with (folder / "clean.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    data = {**SHOES["data"], "path": "clean.csv", "split": "split"}
    schema = parse_schema({**SHOES, "data": data, "train": {"epochs": 1}}, folder=folder)
    return run(schema, folder / "run", figures=False)


def use_case(draw: random.Random, plugins: Plugins, run: TrainedRun) -> str:
    """Put a table in the current folder to a use; which, or that it was refused."""
    path = written(draw)
    use = draw.choice([first_schema_case, impute_case, impute_case, embed_case, evaluate_case])
    for old in (*Path().glob("out*.*"), *Path().glob("out_images/*")):
        old.unlink()
    try:
        return use(draw, path, plugins, run)
    except UserError as error:
        in_lines(error)
        return "refused"


def first_schema_case(draw: random.Random, path: Path, plugins: Plugins, run: TrainedRun) -> str:
    """The schema that `mmt init` writes is read, and its table prepared, without a fault."""
    Path("out.yaml").write_text(first_schema(path, Path("out.yaml"), Reading(), plugins).text, encoding="utf-8")
    try:
        schema = read_schema("out.yaml", plugins=plugins)
        prepare(schema.data, schema.units, schema.at)
    except UserError as error:
        raise AssertionError(str(error)) from error
    return "first schema"


def _user_file(draw: random.Random, run: TrainedRun, path: Path) -> UserFile:
    options = draw.choice(
        [[], [], ["data.on_bad_cell=missing"], ["data.on_bad_cell=error"], ["data.absent_files=missing"]]
    )
    return file_as_set(run, path, options, None)


def impute_case(draw: random.Random, path: Path, plugins: Plugins, run: TrainedRun) -> str:
    """Cells that are there stay, and as many are filled as is said."""
    user_file = _user_file(draw, run, path)
    out = Path(f"out.{draw.choice([path.suffix[1:]] * 2 + ['csv', 'json', 'jsonl', 'parquet', 'xlsx'])}")
    notes, *_ = impute_table(run, user_file, out, samples=draw.choice([0, 0, 3]), seed=1, overwrite=True)
    old = user_file.rows
    both = ("", "nan") if old.has_null and out.suffix in (".csv", ".xlsx") else ()  # a text, or there a null or NaN
    new = open_table(out, Reading(encoding=_encoding_of(user_file, path, out), missing=both or None))
    assert len(new) == len(old)
    assert {*old.names} <= {*new.names}

    def hole(name: str, cell: Any) -> bool:
        lost = (
            name == "photo" and user_file.absent_files == "missing" and not os.path.lexists(str(cell).replace("\0", ""))
        )
        return cell is None or lost or (isinstance(cell, str) and cell in both) or (name == "price" and cell == "nan")

    filled = {name: int(count) for count, name in re.findall(r"(\d+) of (\w+)", notes)}
    for name in {*COLUMNS[:-1]} & {*new.names}:
        holes = sum(hole(name, cell) for cell in old.column(name)) if name in old.names else len(old)
        left = sum(hole(name, cell) for cell in new.column(name))
        assert holes - left == filled.get(name, 0), (name, holes, left, notes)
    for name in old.names:
        for before, after in zip(old.column(name), new.column(name), strict=True):
            if path.suffix == out.suffix and not hole(name, before):
                assert repr(plain(after)) == repr(plain(before)), (name, before, after)
    return "imputed"


def _encoding_of(user_file: UserFile, path: Path, out: Path) -> str:
    """A table of the same format keeps its encoding."""
    return user_file.encoding if path.suffix == out.suffix else "utf-8"


def embed_case(draw: random.Random, path: Path, plugins: Plugins, run: TrainedRun) -> str:
    """Every row has a finite place."""
    user_file = _user_file(draw, run, path)
    out = Path(f"out.{draw.choice(['csv', 'parquet', 'json', 'jsonl', 'xlsx'])}")
    embed_table(run, user_file, out, draw.choice([(), (), ("colour",), ("gone",)]), overwrite=True)
    new = open_table(out, Reading())
    assert len(new) == len(user_file.rows)
    assert all(math.isfinite(float(cell)) for name in ("mean_0", "logvar_1") for cell in new.column(name))
    return "embedded"


def evaluate_case(draw: random.Random, path: Path, plugins: Plugins, run: TrainedRun) -> str:
    """Its scores are numbers."""
    json.dumps(evaluate_table(run, _user_file(draw, run, path), run.schema.evaluate), allow_nan=False)
    return "evaluated"


# Tables without a fault.


def known_case(draw: random.Random) -> str:
    """Fill a table in one of the formats; no known cell changes, and each fill is a value of its column."""
    name = draw.choice(list(known_cells.FORMATS))
    with tempfile.TemporaryDirectory() as folder:
        fills = known_cells.case(name, draw, Path(folder))
    return f"{name}, {'filled' if fills else 'no hole to fill'}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--what", choices=["schemas", "tables", "uses", "known"])
    options = parser.parse_args()
    plugins, known = load_plugins(), bases()
    runs = tempfile.TemporaryDirectory()
    lay_out(Path(runs.name))
    run = trained(Path(runs.name))
    cases: dict[str, Callable[[random.Random], str]] = {
        "schemas": lambda draw: schema_case(draw, plugins, known),
        "tables": lambda draw: table_case(draw, plugins),
        "uses": lambda draw: use_case(draw, plugins, run),
        "known": known_case,
    }
    failed = 0
    for what in [options.what] if options.what else list(cases):
        ended: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            lay_out(Path(folder))
            for seed in range(options.seed, options.seed + options.cases):
                os.environ["MMT_CACHE"] = f"{folder}/cache{seed // 200}"
                try:
                    ended[cases[what](random.Random(seed))] += 1
                except Exception:
                    ended["failed"] += 1
                    print(f"{what}, case {seed}:\n{traceback.format_exc(limit=-6)}", flush=True)
            os.chdir("/")
        print(f"{what}: {dict(ended)}", flush=True)
        failed += ended["failed"]
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
