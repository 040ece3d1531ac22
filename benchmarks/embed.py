"""Embedding a table against the encoders alone.

The bare encoder is handed what it reads: rows in memory as the networks take them, in the batches that `mmt embed`
makes, so its time is that of `infer_all` and nothing else. `mmt embed` is handed a file: it reads and parses cells,
infers, and writes a Parquet file of 2 D columns. Both multiply matrices with oneDNN where it is exact or,
with --as-it-stands, as PyTorch does. They run in turn, in one process, after one round to warm up; what is printed is
the median over rounds of the bare time over the time of `mmt embed`, 1 where the table costs nothing.

    python benchmarks/embed.py                  # 200,000 rows of two numbers and a label
    python benchmarks/embed.py --images         # 40,000 rows of a 28x28 picture, a number and a label
    python benchmarks/embed.py --format csv
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mmt_attributes import Label, Numeric
from mmt_image import Image
from mmtoolkit import MVAE, Batch, Modality, Schema, TrainedRun, UserError, build, load_plugins
from mmtoolkit.sources import TableSource
from mmtoolkit.tables.writing import new_table
from mmtoolkit.training.compute import Compute, Kernels, applied, onednn_is_exact
from mmtoolkit.using.embedding import embed_table
from mmtoolkit.using.run_table import RunTable
from mmtoolkit.using.user_table import UserFile

CLASSES = tuple("abcdefghij")


def columns(rows: int, images: bool, missing: float) -> dict[str, pa.Array]:
    draw = np.random.default_rng(0)

    def holes() -> np.ndarray:
        return draw.random(rows) < missing

    found = {
        "price": pa.array(draw.normal(20, 5, rows), mask=holes()),
        "weight": pa.array(draw.normal(1, 0.2, rows).astype(np.float32), mask=holes()),
        "sort": pa.array(np.array(CLASSES)[draw.integers(10, size=rows)], mask=holes()),
    }
    if images:
        pixels = pa.array(draw.integers(0, 256, rows * 784, dtype=np.uint8))
        lines = pa.FixedSizeListArray.from_arrays(pixels, 28)
        found["picture"] = pa.FixedSizeListArray.from_arrays(lines, 28)
    return found


def run_on(folder: Path, images: bool, latent_dim: int) -> TrainedRun:
    """A run with fresh weights: how fast it is does not depend on them."""
    modalities: dict[str, Modality] = {
        "price": Numeric(mean=(20.0,), std=(5.0,)),
        "weight": Numeric(mean=(1.0,), std=(0.2,)),
        "sort": Label(classes=CLASSES),
    }
    if images:
        modalities["picture"] = Image(shape=(1, 28, 28), network="mlp")
    model = MVAE(latent_dim=latent_dim)
    schema = Schema(name="embed", data=TableSource(path=folder / "t.parquet"), modalities=modalities, model=model)
    network = build(model, modalities, seed=0).eval()
    return TrainedRun(folder, schema, network, torch.device("cpu"), {}, load_plugins())


@torch.no_grad()
def bare(run: TrainedRun, batches: list[Batch]) -> float:
    started = time.perf_counter()
    for batch in batches:
        run.model.infer_all(batch)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--missing", type=float, default=0.2)
    parser.add_argument("--latent-dim", type=int, default=64)
    parser.add_argument("--format", default="parquet", choices=("parquet", "csv", "arrow"))
    parser.add_argument("--as-it-stands", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.images and asked.format == "csv":
        raise SystemExit("--format csv: holds no arrays; take parquet or arrow")
    kernels: Kernels = "onednn" if onednn_is_exact() and not asked.as_it_stands else "torch"
    rows = asked.rows or (40_000 if asked.images else 200_000)
    with applied(Compute(torch.get_num_threads(), kernels)), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = pa.table(columns(rows, asked.images, asked.missing))
        path = folder / f"t.{asked.format}"
        with new_table(path, table.schema) as writer:
            for batch in table.to_batches(1 << 14):
                writer.write(dict(zip(table.column_names, batch.columns, strict=True)))
        run = run_on(folder, asked.images, asked.latent_dim)
        user_file = UserFile.for_run(run, {}, path=path)
        read = RunTable(run, user_file.rows, None, "error")
        batches = [piece.batch for piece in read.pieces(names=())]
        ratios = []
        for round_ in range(asked.rounds + 1):
            alone = bare(run, batches)
            started = time.perf_counter()
            embed_table(run, user_file, folder / "z.parquet", overwrite=True)
            whole = time.perf_counter() - started
            if round_:
                ratios.append(alone / whole)
                print(f"encoder {alone:.2f} s, embed {whole:.2f} s, ratio {ratios[-1]:.2f}, {rows / whole:,.0f} rows/s")
        print(f"{path.suffix[1:]}, {rows:,} rows: median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
