import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.core.keyed import keyed_uniform
from toys import EXAMPLES

KEYS = st.integers(-(2**63), 2**63 - 1)


def splitmix_finaliser(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


@EXAMPLES
@given(st.lists(KEYS, min_size=1, max_size=4))
def test_numbers_are_the_top_bits_of_splitmix64_at_the_mixed_key(keys):
    drawn = keyed_uniform(torch.tensor(keys), (2, 3)).flatten(1)
    for row, key in zip(drawn, keys, strict=True):
        for place, number in enumerate(row, start=1):
            state = (splitmix_finaliser(key % 2**64) + place * 0x9E3779B97F4A7C15) % 2**64
            assert number.item() == (splitmix_finaliser(state) >> 40) / 2**24


@EXAMPLES
@given(st.lists(KEYS, min_size=2, max_size=6), st.data())
def test_a_row_draws_the_same_whatever_rows_stand_beside_it(keys, data):
    order = data.draw(st.lists(st.integers(0, len(keys) - 1), min_size=1))
    drawn = keyed_uniform(torch.tensor(keys), (5,))
    assert torch.equal(keyed_uniform(torch.tensor(keys)[order], (5,)), drawn[order])


@pytest.mark.parametrize("keys", [torch.arange(4000), torch.arange(-4000, 0), torch.arange(4000) << 40])
def test_numbers_are_uniform_on_the_unit_interval(keys):
    drawn = keyed_uniform(keys, (50,))
    assert drawn.dtype == torch.float32
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.double().mean().item() == pytest.approx(1 / 2, abs=3e-3)
    assert drawn.double().var().item() == pytest.approx(1 / 12, abs=1e-3)
    shares = torch.histc(drawn, bins=16, min=0, max=1) / drawn.numel()
    torch.testing.assert_close(shares, torch.full((16,), 1 / 16), rtol=0, atol=3e-3)


def test_neighbouring_keys_and_places_are_unrelated():
    drawn = keyed_uniform(torch.arange(2000), (50,)).double() - 0.5
    assert abs((drawn[1:] * drawn[:-1]).mean() * 12) < 0.02
    assert abs((drawn[:, 1:] * drawn[:, :-1]).mean() * 12) < 0.02
    assert len(drawn[:, 0].unique()) > 1990
    assert len(drawn[0].unique()) == 50


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_shape_is_that_of_one_row(shape):
    assert keyed_uniform(torch.arange(4), shape).shape == (4, *shape)
    assert keyed_uniform(torch.arange(0), shape).shape == (0, *shape)
