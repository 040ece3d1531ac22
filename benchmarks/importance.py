"""How fast importance sampling runs, against the same matrix products written flat.

Both sides draw K samples of z for each row of 784 binary pixels with a label, decode them by the networks of the schema
`mnist` (Wu & Goodman 2018, section 4.1) and reduce them to log p(x), alternating in one process, and the ratio of their
speeds is printed. The flat side has no draws, no densities of z, no estimates: matrix products, activations and the sum
x * logit - softplus(logit) over pixels alone, in the best of several chunk sizes. Both use the matrix products that
`mmt` chooses. A second line counts the decoder's calls in all six estimates of Tables 2 and 3.

    python benchmarks/importance.py [--rows 100] [--samples 1000] [--repeats 7]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit.components import Network
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.evaluators.importance import estimate
from mmtoolkit.models import MVAE
from mmtoolkit.training.kernels import choose_kernels
from mmtoolkit.training.networks import build

LATENT = 64
CHUNKS = (250, 500, 1000, 2000)


def some_rows(count: int) -> Batch:
    """Rows of noise: the work does not depend on what is in them."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 2, (count, 1, 28, 28), generator=draw).float()
    labels = torch.randint(0, 10, (count,), generator=draw)
    there = torch.ones(count, dtype=torch.bool)
    return Batch({"image": Observed(images, there), "label": Observed(labels, there)})


@torch.no_grad()
def flat(decoder: nn.Module, z: Tensor, x: Tensor, rows: int, samples: int, chunk: int) -> None:
    """Decode rows * samples draws and reduce them, in chunks of as many pairs."""
    found = torch.empty(rows * samples)
    for start in range(0, rows * samples, chunk):
        logits = decoder(z[: min(chunk, rows * samples - start)])
        found[start : start + len(logits)] = (x[: len(logits)] * logits - F.softplus(logits)).sum(1)


def seconds(work) -> float:  # type: ignore[no-untyped-def]
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Counted:
    """Counts the rows that a module reads."""

    def __init__(self, module: nn.Module) -> None:
        self.rows = 0
        module.register_forward_pre_hook(self._add)

    def _add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.rows += len(inputs[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", type=int, nargs="*", default=[16])
    options = parser.parse_args()

    choose_kernels()
    modalities = {
        "image": Image(shape=(1, 28, 28), network="mlp"),
        "label": Label(classes=tuple("0123456789")),
    }
    network: Network = build(MVAE(latent_dim=LATENT), modalities, seed=0).eval()
    batch = some_rows(options.rows)
    linears = [m for m in network.decoders.of("image").modules() if isinstance(m, nn.Linear)]
    layers = [part for linear in linears for part in (linear, nn.SiLU())][:-1]
    decoder = nn.Sequential(*layers)
    z, x = torch.randn(max(CHUNKS), LATENT), batch.value("image").flatten(1).repeat(max(CHUNKS), 1)[: max(CHUNKS)]
    generator = torch.Generator().manual_seed(0)

    pairs = options.rows * options.samples
    print(f"{pairs:,} draws decoded; {torch.get_num_threads()} threads")
    for memory in options.memory:

        def ours(memory: int = memory) -> None:
            estimate(network, batch, ["image"], [("image",)], options.samples, generator, memory * 2**20)

        ratios, speeds = [], []
        for _ in range(options.repeats):
            floor = min(
                seconds(lambda chunk=chunk: flat(decoder, z, x, options.rows, options.samples, chunk))  # type: ignore[misc]
                for chunk in CHUNKS
            )
            taken = seconds(ours)
            ratios.append(floor / taken)
            speeds.append(pairs / taken)
        print(
            f"memory {memory} MiB: {statistics.median(ratios):.2f} of the flat speed "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {statistics.median(speeds):,.0f} draws/s"
        )
    print(f"largest memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")

    image, label = (Counted(network.decoders.of(name)) for name in modalities)
    for proposal in (["image"], ["image", "label"]):
        sets = [("image",), ("image", "label")]
        estimate(network, batch, proposal, sets, options.samples, generator, options.memory[0] * 2**20)
    decoded = f"image decoded {image.rows / pairs:.3f}, label {label.rows / pairs:.3f} times a draw"
    print(f"six estimates (p(y) apart): {decoded}")


if __name__ == "__main__":
    main()
