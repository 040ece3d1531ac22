"""Every built-in model takes steps in bf16-mixed: its loss and terms are float32, and near those of 32-true."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmt_attributes import Label
from mmt_image import Image
from mmt_text import Text
from mmtoolkit import build
from mmtoolkit.components import Model
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA

ROWS, D = 6, 3


def modalities(*names: str) -> dict[str, Any]:
    every = {
        "image": Image(shape=(1, 32, 32), network="dcgan"),
        "text": Text(length=4, alphabet="ab"),
        "label": Label(classes=("a", "b", "c"), network={"kind": "mlp", "width": 16}),
    }
    return {name: every[name] for name in names}


def batch(*names: str) -> Batch:
    draw = torch.Generator().manual_seed(0)
    values = {
        "image": torch.rand(ROWS, 1, 32, 32, generator=draw),
        "text": torch.randint(0, 2, (ROWS, 4), generator=draw),
        "label": torch.randint(0, 3, (ROWS,), generator=draw),
    }
    present = torch.ones(ROWS, dtype=torch.bool)
    return Batch({name: Observed(values[name], present) for name in names})


ALL = ("image", "text", "label")
CASES: list[tuple[Model, tuple[str, ...]]] = [
    (MVAE(latent_dim=D, subsets={"k": 1}), ALL),
    (MVAE(latent_dim=D, prior="mixture"), ("image", "label")),
    (JMVAE(latent_dim=D), ("image", "label")),
    (BiVCCA(latent_dim=D), ("image", "label")),
    (CVAE(latent_dim=D, target="label", given=["image"]), ("image", "label")),
    (VAE(latent_dim=D, modality="image"), ("image",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "names"), CASES, ids=[f"{model.kind}-{len(names)}" for model, names in CASES])
def test_a_step_in_bfloat16(model: Model, names: tuple[str, ...]) -> None:
    network, rows = build(model, modalities(*names), seed=0), batch(*names)
    torch.manual_seed(0)
    full, full_parts = network(rows)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, parts = network(rows)
        bound = network.bound(rows, torch.randn(ROWS, D, generator=torch.Generator().manual_seed(1)))
    half.backward()
    assert half.dtype == bound.dtype == torch.float32
    assert {part.dtype for part in parts.values()} == {torch.float32}
    assert float(half.detach()) == pytest.approx(
        float(full.detach()), rel=0.02
    )  # some three digits are left of a bfloat16
    assert parts.keys() == full_parts.keys()
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert any(p.grad is not None for p in network.parameters())
