"""What training and validation hide from the encoders."""

import lightning_fabric
import pytest
import torch

import mmtoolkit
from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit import JMVAE, MVAE
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.data.split import Split
from mmtoolkit.schema.train import HideOptions
from mmtoolkit.training.hiding import draw_visible, visible_part
from mmtoolkit.training.validation import Validation

NAMES = ("a", "b", "c", "d")
COLUMNS = {name: Numeric(mean=(0.0,), std=(1.0,)) for name in NAMES}
UNITS = {"row": Record(columns=COLUMNS), "sort": Label(classes=("x", "y"))}


def present_of(rows, share=0.8):
    return torch.rand(rows, 5, generator=torch.Generator().manual_seed(0)) < share


def network_of(model=None):
    return mmtoolkit.build(model or MVAE(latent_dim=2), UNITS, seed=0)


def test_rows_draw_rates_up_to_the_highest_and_some_stay_whole():
    network, present = network_of(), torch.ones(20_000, 5, dtype=torch.bool)
    visible = draw_visible(network, present, HideOptions(rate=0.6, whole=0.25), torch.Generator().manual_seed(1))
    hidden = (~visible).sum(1)
    # A row is whole by chance too, and one of which nothing would stay is whole again.
    assert abs(float((~visible).double().mean()) - 0.75 * 0.3) < 0.01
    rates = 0.6 * (torch.arange(100_000) + 0.5).double() / 100_000
    whole = 0.25 + 0.75 * float(((1 - rates) ** 5 + rates**5).mean())
    assert abs(float((hidden == 0).double().mean()) - whole) < 0.01
    # Of rows with their own rates, the numbers of hidden cells vary more than those of a common rate.
    assert float(hidden.double().var()) > 1.5 * 5 * 0.225 * 0.775


def test_missing_cells_stay_missing_and_every_usable_row_stays_usable():
    network, present = network_of(), present_of(500, 0.3)
    visible = draw_visible(network, present, HideOptions(rate=1.0, whole=0.0), torch.Generator().manual_seed(1))
    assert not (visible & ~present).any()
    assert torch.equal(visible.any(1), present.any(1))
    joint = network_of(JMVAE(latent_dim=2, width=4))
    visible = draw_visible(joint, present, HideOptions(rate=1.0, whole=0.0), torch.Generator().manual_seed(1))
    assert torch.equal(joint.usable(visible), joint.usable(present))
    assert (visible != present).any()


def test_nothing_is_hidden_without_the_option():
    batch = Batch({name: Observed(torch.zeros(3), torch.ones(3, dtype=torch.bool)) for name in NAMES})
    assert visible_part(network_of(), batch, None) == {}


def split_of(rows=40):
    stored = {name: torch.randn(rows, dtype=torch.float64) for name in NAMES} | {"sort": torch.randint(0, 2, (rows,))}
    return Split("valid", {**COLUMNS, "sort": UNITS["sort"]}, stored, present_of(rows), (NAMES,))


def test_validation_hides_the_same_cells_each_time_and_scores_all():
    torch.manual_seed(0)
    network, split, fabric = network_of(), split_of(), lightning_fabric.Fabric(accelerator="cpu")
    hiding, whole = (Validation(split, network, 0, fabric, hide) for hide in (HideOptions(), None))
    assert hiding.measure(network) == hiding.measure(network)
    assert hiding.measure(network) != whole.measure(network)
    batch = next(split.batches(1000, torch.device("cpu")))
    seen = {}

    def bound(batch, noise, visible=None):
        seen["visible"], seen["all"] = visible.present, batch.present
        return type(network).bound(network, batch, noise, visible)

    network.bound = bound
    hiding.measure(network)
    first = seen["visible"]
    hiding.measure(network)
    assert torch.equal(first, seen["visible"])
    assert torch.equal(seen["all"], batch.present)
    assert (first != batch.present).any()


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_rate_outside_of_its_bounds_is_refused(rate):
    schema = {"name": "s", "data": {"kind": "mnist"}, "modalities": {"label": "label"}, "model": "mvae"}
    with pytest.raises(mmtoolkit.UserError, match=r"train.hide.rate"):
        mmtoolkit.parse_schema({**schema, "train": {"hide": {"rate": rate}}})


def test_blocks_hold_what_batches_of_columns_hold():
    split = split_of()
    plain = Split(split.name, split.modalities, split.stored, split.present)
    rows = torch.tensor([3, 1, 30, 7, 7])
    one, other = (s.batch(rows, torch.device("cpu")) for s in (split, plain))
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.5
    changes = [
        lambda batch: batch,
        lambda batch: batch.where(mask),
        lambda batch: batch.only({"a", "sort", "d"}),
        lambda batch: batch.take(torch.tensor([0, 2, 4])),
        lambda batch: list(batch.split(2))[1],
        lambda batch: batch.to("cpu").where(mask).take(torch.tensor([1, 2])),
    ]
    for change in changes:
        a, b = change(one), change(other)
        assert a.names == b.names == (*NAMES, "sort")
        assert a.size == b.size
        assert torch.equal(a.present, b.present)
        for name in a.names:
            assert torch.equal(a.value(name), b.value(name))
            assert a.value(name).dtype == b.value(name).dtype
            assert torch.equal(a.rows(name), b.rows(name))
        assert torch.equal(a.block(NAMES).values, b.block(NAMES).values)
        assert torch.equal(a.block(NAMES).known, b.block(NAMES).known)
