"""How long it takes to prepare MultiMNIST, CelebA and its six views, and to open them again from the cache.

The data lies in $MMT_DATA (`mnist/`, `celeba/`); what is prepared goes to a cache in a new temporary folder. Each
measurement is a process of its own, as `mmt run` is, and its seconds are those of `mmtoolkit.prepare`,
without imports. The data's files may lie in the system's memory already: run it twice to know that they do.

    MMT_DATA=/data python benchmarks/prepare.py [--only celeba]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

COLOURED = ("image", "obscured", "watermarked")
SETS = ("multimnist", "celeba", "celeba_vision")


def measured(name: str) -> dict[str, Any]:
    """Prepare one data set in this process: its rows, notes and seconds."""
    from mmt_image import Image
    from mmtoolkit.components import Source
    from mmtoolkit.data.dataset import prepare
    from mmtoolkit.sources import CelebA, CelebAVision, MultiMNIST

    source: Source
    if name == "multimnist":
        source, modalities = MultiMNIST(), {"image": Image(shape=(1, 50, 50))}
    elif name == "celeba":
        source, modalities = CelebA(), {"image": Image(shape=(3, 64, 64))}
    else:
        views = ("image", "grey", "edges", "mask", "obscured", "watermarked")
        source = CelebAVision()
        modalities = {view: Image(shape=(3 if view in COLOURED else 1, 64, 64)) for view in views}
    begun = time.perf_counter()
    dataset = prepare(source, modalities)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "rows": sum(len(split) for split in dataset.splits.values()),
        "bytes": sum(split.nbytes for split in dataset.splits.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SETS, action="append", help="measure this one; may be given several times")
    parser.add_argument("--inner", choices=SETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        print(json.dumps(measured(arguments.inner)))
        return
    if "MMT_DATA" not in os.environ:
        parser.error("set MMT_DATA to the folder that holds mnist/ and celeba/")
    print(f"{'':>14} {'rows':>8} {'columns':>9} {'prepared':>9} {'again':>7}")
    for name in arguments.only or SETS:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, __file__, "--inner", name]
            first, again = (
                json.loads(
                    subprocess.run(
                        command, check=True, stdout=subprocess.PIPE, env={**os.environ, "MMT_CACHE": cache}
                    ).stdout
                )
                for _ in range(2)
            )
        size = f"{first['bytes'] / 1e6:,.0f} MB"
        print(
            f"{name:>14} {first['rows']:>8,} {size:>9} {first['seconds']:>7.1f} s {again['seconds']:>5.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
