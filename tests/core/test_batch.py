import pytest
import torch
from hypothesis import given

from mmtoolkit.core.batch import Batch, Observed
from toys import EXAMPLES, bools

PRESENT = torch.tensor([[True, False, False], [True, True, False], [True, True, False]])


def batch(present=PRESENT):
    values = [10 * m + torch.arange(3) for m in range(3)]
    return Batch({name: Observed(values[m], present[:, m]) for m, name in enumerate(["c", "a", "b"])})


@pytest.mark.parametrize("present", [torch.ones(3), torch.ones(2, dtype=torch.bool), torch.ones(3, 1) > 0])
def test_presence_that_is_not_one_bool_a_row_is_refused(present):
    with pytest.raises(ValueError, match=r"present must be bool of shape \(3,\).*; .*torch\.\w+ of shape \("):
        Observed(torch.zeros(3, 2), present)


def test_numbers_of_rows_that_differ_are_refused():
    three, two = (Observed(torch.zeros(n), torch.ones(n) > 0) for n in (3, 2))
    with pytest.raises(ValueError, match=r"same number of rows.*\{'a': 3, 'b': 2\}"):
        Batch({"a": three, "b": two})


def test_a_batch_of_no_modality_is_refused():
    with pytest.raises(ValueError, match="modality"):
        Batch({})


def test_a_tensor_in_place_of_observed_is_refused():
    with pytest.raises(TypeError, match=r"^b: must be an Observed, not a Tensor; .*Observed\(value, present\)"):
        Batch({"a": Observed(torch.zeros(3), torch.ones(3) > 0), "b": torch.zeros(3)})


def test_names_keep_the_order_of_the_schema():
    assert batch().names == ("c", "a", "b")


def test_only_present_rows_are_stored():
    assert batch().value("c").tolist() == [0, 1, 2]
    assert batch().value("a").tolist() == [11, 12]
    assert batch().rows("a").tolist() == [1, 2]
    assert batch().value("b").tolist() == batch().rows("b").tolist() == []


@EXAMPLES
@given(bools(3, 3))
def test_presence_is_given_back(present):
    assert torch.equal(batch(present).present, present)


def test_tiled_repeats_the_values_for_each_draw_in_any_order_of_calls():
    rows = batch()
    for draws in (2, 1, 3, 2):
        assert rows.tiled("a", draws).tolist() == [11, 12] * draws
    assert rows.tiled("b", 3).tolist() == []


def test_a_batch_of_present_rows_alone_is_the_same_batch():
    whole = batch()
    stored = Batch.of_present(3, {n: whole.value(n) for n in whole.names}, {n: whole.rows(n) for n in whole.names})
    assert (stored.size, stored.names) == (whole.size, whole.names)
    assert torch.equal(stored.present, whole.present)


def test_only_hides_the_modalities_that_are_not_named():
    visible = batch().only(["c", "b"])
    assert visible.names == ("c", "a", "b")
    assert visible.present.tolist() == [[True, False, False]] * 3
    assert visible.value("c").tolist() == [0, 1, 2]
    assert visible.value("a").shape == (0,)


def test_only_refuses_a_modality_that_the_batch_has_not():
    with pytest.raises(ValueError, match=r"no modality 'A'; it has c, a, b"):
        batch().only(["A", "b"])


def test_presence_stays_on_the_host_when_values_move():
    moved = batch().to("meta")
    assert moved.device.type == moved.value("b").device.type == "meta"
    assert moved.rows("a").device.type == "cpu"
    assert torch.equal(moved.present, PRESENT)


def test_a_batch_splits_into_the_same_rows() -> None:
    present = torch.tensor([True, False, True, True, False])
    value = torch.arange(5.0)
    batch = Batch({"a": Observed(value, present), "b": Observed(value, ~present)})
    parts = list(batch.split(2))
    assert [part.size for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.present for part in parts]), batch.present)
    for name in ("a", "b"):
        assert torch.equal(torch.cat([part.value(name) for part in parts]), batch.value(name))


@EXAMPLES
@given(bools(3, 3), bools(3, 3))
def test_where_keeps_present_cells_of_the_mask(present, mask):
    rows = batch(present).where(mask)
    expected = batch(present & mask)
    assert rows.names == expected.names
    assert torch.equal(rows.present, expected.present)
    assert all(torch.equal(rows.value(name), expected.value(name)) for name in rows.names)
