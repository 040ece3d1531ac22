"""The products of a step, as a trial shows them."""

from __future__ import annotations

import torch
from torch import nn

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, build
from mmtoolkit.data.split import Split
from mmtoolkit.training.work import Product, products_of_step, typical_flops

WIDTH, LATENT, BATCH = 32, 3, 10


def image_and_label(rows: int = 40) -> tuple[nn.Module, Split]:
    network = {"kind": "mlp", "width": WIDTH}
    modalities = {
        "image": Image(shape=(1, 8, 8), network=network),
        "label": Label(classes=("a", "b"), network=network),
    }
    stored = {"image": torch.zeros(rows, 1, 8, 8, dtype=torch.uint8), "label": torch.zeros(rows, dtype=torch.int64)}
    split = Split("train", modalities, stored, torch.ones(rows, 2, dtype=torch.bool))
    return build(MVAE(latent_dim=LATENT), modalities, seed=0), split


def test_every_layer_of_a_step_is_counted_at_its_rows() -> None:
    network, split = image_and_label()
    layers = [  # rows, in, out; a decoder runs on two draws of each row
        *((BATCH, i, o) for i, o in ((64, WIDTH), (WIDTH, WIDTH), (WIDTH, 2 * LATENT))),
        *((BATCH, i, o) for i, o in ((WIDTH, WIDTH), (WIDTH, 2 * LATENT))),  # a label's first layer is an embedding
        *((2 * BATCH, i, o) for i, o in ((LATENT, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 64))),
        *((2 * BATCH, i, o) for i, o in ((LATENT, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 2))),
    ]
    expected = [Product(2 * rows * i * o, i * o) for rows, i, o in layers]
    assert products_of_step(network, split, BATCH) == expected  # type: ignore[arg-type]


def test_a_convolution_has_no_matrix() -> None:
    modalities = {"image": Image(shape=(1, 32, 32), network="dcgan")}
    stored = {"image": torch.zeros(4, 1, 32, 32, dtype=torch.uint8)}
    split = Split("train", modalities, stored, torch.ones(4, 1, dtype=torch.bool))
    products = products_of_step(build(MVAE(latent_dim=2), modalities, seed=0), split, 4)
    convolutions = [product for product in products if product.size is None]
    assert convolutions
    assert max(product.flops for product in products) == max(product.flops for product in convolutions)


def test_the_trial_changes_nothing() -> None:
    modalities = {"image": Image(shape=(1, 32, 32), network="dcgan")}  # it has batch normalisation
    stored = {"image": torch.randint(0, 256, (8, 1, 32, 32), dtype=torch.uint8)}
    split = Split("train", modalities, stored, torch.ones(8, 1, dtype=torch.bool))
    network = build(MVAE(latent_dim=2), modalities, seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with torch.no_grad():
        products_of_step(network, split, 4)
        assert not torch.is_grad_enabled()
    assert network.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_rows_without_a_modality_are_no_work() -> None:
    network, split = image_and_label()
    present = split.present.clone()
    present[::2, 1] = False  # every other label is missing, over the whole split
    half = Split("train", split.modalities, split.stored, present)
    labels = [product for product in products_of_step(network, half, 40) if product.size == WIDTH * 2]  # type: ignore[arg-type]
    assert labels == [Product(2 * 40 * WIDTH * 2, WIDTH * 2)]  # twenty rows, two draws of each


def test_the_typical_call_holds_the_median_operation() -> None:
    assert typical_flops([Product(1, 1)] * 10 + [Product(100, 1)]) == 100
    assert typical_flops([Product(10, 1)] * 30 + [Product(100, 1)]) == 10
    assert typical_flops([]) == 0
