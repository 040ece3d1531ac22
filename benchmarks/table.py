"""How fast a table is prepared: a million rows of ten columns, and fifty thousand pictures beside a table.

The first part writes a CSV of labels, numbers, yes and no, and short texts with holes, and prepares it in a process of
its own with an empty cache: time, and the largest memory of the process. The second writes JPEGs of 64x64, prepares
them, and opens the same files by Pillow alone on as many threads, alternating; the ratio of the speeds is printed.

    python benchmarks/table.py [--rows 1000000] [--pictures 50000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import torch

WORDS = np.array(["red", "green", "blue", "black", "white", "grey", "brown", "pink"])
SCHEMA: dict[str, dict[str, object]] = {
    **{f"label{i}": {"kind": "label"} for i in range(3)},
    **{f"number{i}": {"kind": "numeric"} for i in range(3)},
    **{f"flag{i}": {"kind": "binary"} for i in range(2)},
    **{f"text{i}": {"kind": "text", "length": 24} for i in range(2)},
}


def write_table(path: Path, rows: int) -> None:
    """Ten columns, a fifth of the cells missing."""
    import pyarrow as pa
    import pyarrow.csv

    draw = np.random.default_rng(0)

    def holes(values: np.ndarray) -> pa.Array:
        return pa.array(values.astype(str), mask=draw.random(rows) < 0.2)

    columns = {}
    for name, options in SCHEMA.items():
        if options["kind"] == "label":
            columns[name] = holes(WORDS[draw.integers(0, 8, rows)])
        elif options["kind"] == "numeric":
            columns[name] = holes(draw.normal(10, 3, rows).round(3))
        elif options["kind"] == "binary":
            columns[name] = holes(np.array(["no", "yes"])[draw.integers(0, 2, rows)])
        else:
            first, second = (WORDS[draw.integers(0, 8, rows)] for _ in range(2))
            columns[name] = holes(np.char.add(np.char.add(first, " and "), second))
    pa.csv.write_csv(pa.table(columns), path)


def write_pictures(folder: Path, count: int) -> None:
    """Noise over a gradient, as JPEG."""
    draw = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 64)[:, None, None]
    for i in range(count):
        values = (ramp + draw.integers(0, 55, (64, 64, 3))).astype(np.uint8)
        PIL.Image.fromarray(values).save(folder / f"{i}.jpg", quality=90)
    (folder / "t.csv").write_text("picture\n" + "".join(f"{i}.jpg\n" for i in range(count)))


def prepare_table(folder: Path, modalities: dict[str, dict[str, object]]) -> float:
    """Seconds to prepare folder/t.csv with the cache as it is."""
    from mmtoolkit import parse_schema, prepare

    schema = parse_schema(
        {"name": "t", "data": {"kind": "table", "path": "t.csv"}, "modalities": modalities, "model": {"kind": "mvae"}},
        folder=folder,
    )
    started = time.perf_counter()
    prepare(schema.data, schema.units)
    return time.perf_counter() - started


def opened(path: Path) -> int:
    """Decode a picture."""
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).shape[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Prepare the table in this folder and end: the process measured.")
    options = parser.parse_args()
    if options.folder:
        taken = prepare_table(options.folder, SCHEMA)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{taken:.1f} s, largest memory {memory:.2f} GiB")
        return

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.rows:
            write_table(folder / "t.csv", options.rows)
            size = (folder / "t.csv").stat().st_size / 1e6
            print(f"{options.rows:,} rows of {len(SCHEMA)} columns, {size:.0f} MB:", end=" ", flush=True)
            command = [sys.executable, __file__, "--folder", name]
            subprocess.run(command, check=True, env={**os.environ, "MMT_CACHE": f"{name}/cache"})
        if not options.pictures:
            return
        write_pictures(folder, options.pictures)
        paths = [folder / f"{i}.jpg" for i in range(options.pictures)]
        shape = {"picture": {"kind": "image", "shape": [3, 64, 64], "network": "mlp"}}
        ratios, speeds = [], []
        for repeat in range(options.repeats):
            os.environ["MMT_CACHE"] = f"{name}/cache{repeat}"
            started = time.perf_counter()
            with ThreadPoolExecutor(torch.get_num_threads()) as pool:
                size = -(-len(paths) // torch.get_num_threads())
                list(
                    pool.map(
                        lambda part: [opened(p) for p in part],
                        [paths[i : i + size] for i in range(0, len(paths), size)],
                    )
                )
            alone = time.perf_counter() - started
            taken = prepare_table(folder, shape)
            ratios.append(alone / taken)
            speeds.append(options.pictures / taken)
        print(
            f"{options.pictures:,} JPEGs of 64x64: {statistics.median(ratios):.2f} of the speed of Pillow alone "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {statistics.median(speeds):,.0f} pictures/s, "
            f"{torch.get_num_threads()} threads"
        )


if __name__ == "__main__":
    main()
