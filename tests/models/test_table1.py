"""Table 1 of Wu & Goodman 2018, counted in the weights that a run of one step saves."""

import math

import pytest
import torch
from safetensors import safe_open

from mmtoolkit import Trainer, TrainOptions, build, load_plugins, new_fabric, read_schema
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.data.split import Split
from mmtoolkit.training.networks import generated_batch
from table1 import EXPLAINED, paper

ROWS = 4
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
CELLS = [
    (model, data_set, count)
    for model, counts in paper().items()
    for data_set, count in counts.items()
    if count is not None
]


def inference_numbers_saved_by_one_step(schema, folder):
    """How many numbers the encoders have in the weights of a one-step run on generated rows."""
    network = build(schema.model, schema.modalities, seed=0)
    torch.manual_seed(0)
    batch = generated_batch(network, ROWS)
    stored = {
        name: torch.stack([modality.parse(modality.cell(value)) for value in batch.value(name)])
        for name, modality in schema.modalities.items()
    }
    present = torch.ones(ROWS, len(stored), dtype=torch.bool)
    rows = Split("train", schema.modalities, stored, present)
    before = {name: p.clone() for name, p in network.named_parameters()}
    dataset = Dataset(schema.data, schema.modalities, {"train": rows})
    Trainer(network, dataset, TrainOptions(epochs=1, batch_size=ROWS), folder, new_fabric("cpu")).run()
    moved = [name for name, p in network.named_parameters() if not torch.equal(p, before[name])]
    with safe_open(folder / "weights.safetensors", "pt") as weights:
        saved = {key: math.prod(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
    inference = {
        key: size
        for key, size in saved.items()
        if key.startswith(("encoders.", "joint.")) and not key.endswith(BUFFERS)
    }
    assert set(inference) <= set(moved)  # each of them takes part in a step
    return sum(inference.values())


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


@pytest.mark.slow
@pytest.mark.parametrize(("model", "data_set", "count"), CELLS, ids=lambda value: str(value))
def test_a_cell(model, data_set, count, plugins, tmp_path):
    if (model, data_set) in EXPLAINED:
        pytest.skip(EXPLAINED[model, data_set])
    schema = read_schema(data_set, [f"model.kind={model}"], plugins)
    assert inference_numbers_saved_by_one_step(schema, tmp_path) == count


@pytest.mark.parametrize(
    ("schema", "model", "count"),
    [("multimnist", "jmvae", 4_271_384), ("celeba19", "mvae", 10_663_512), ("celeba19", "jmvae", 19_733_664)],
)
@pytest.mark.slow
def test_our_own_count_of_the_cells_that_the_paper_leaves_open(schema, model, count, plugins, tmp_path):
    read = read_schema(schema, [f"model.kind={model}"], plugins)
    assert inference_numbers_saved_by_one_step(read, tmp_path) == count


def test_only_three_cells_are_explained_rather_than_equal():
    assert set(EXPLAINED) == {("jmvae", "multimnist"), ("mvae19", "celeba"), ("jmvae19", "celeba")}
    assert len(CELLS) == 26
