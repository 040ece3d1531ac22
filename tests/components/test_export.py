"""Encoders that read a condition leave PyTorch too; the contract kit tries the others."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim, export

from mmtoolkit import load_plugins
from mmtoolkit.components import Modality

OURS = [
    pytest.param(example, id=f"{kind}-{place}")
    for kind, cls in load_plugins().of_family("modality").items()
    if issubclass(cls, Modality)
    for place, example in enumerate(cls.examples())
]


@pytest.mark.slow
@pytest.mark.parametrize("modality", OURS)
def test_an_exported_encoder_takes_any_number_of_rows(modality: Modality) -> None:
    cells = list(modality.example_cells())
    modality = modality.fit(iter([cells]))
    x = modality.prepare(modality.parse_column(cells).stored, None, torch.arange(len(cells)))
    inputs = (x, torch.randn(len(x), 3))
    encoder = modality.encoder(8, 3).eval()
    exported = export(encoder, inputs, dynamic_shapes=tuple({0: Dim("rows")} for _ in inputs)).module()
    for times in (1, 5):
        many = [value.repeat(times, *[1] * (value.ndim - 1)) for value in inputs]
        torch.testing.assert_close(exported(*many), encoder(*many))
