from collections import Counter
from itertools import combinations
from math import comb, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtoolkit.core.subsets import distinct_terms, draw_subsets, supports
from toys import EXAMPLES, bools, seeded

SAMPLINGS = ["uniform", "by_size"]


def members(row):
    return frozenset(row.nonzero().flatten().tolist())


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_sizes_lie_strictly_between_one_and_all(sampling):
    for m in range(3, 101):
        subsets = draw_subsets(m, 30, seeded(m), sampling)
        assert subsets.shape == (30, m)
        assert subsets.dtype == torch.bool
        assert subsets.sum(1).min() > 1
        assert subsets.sum(1).max() < m


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_so_many_modalities_that_no_list_of_subsets_could_be_made(sampling):
    assert draw_subsets(100_000, 2, seeded(), sampling).shape == (2, 100_000)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_generator_makes_the_draw_reproducible_and_leaves_the_default_one_alone(sampling):
    state = torch.get_rng_state()
    first, again, other = (draw_subsets(10, 20, seeded(seed), sampling) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_without_a_generator_the_default_one_is_used(sampling):
    with torch.random.fork_rng():
        first, again = (torch.manual_seed(3) and draw_subsets(10, 20, None, sampling) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("m", [4, 5])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_frequencies_pass_a_chi_square_test(m, sampling):
    draws = 20_000
    counts = Counter(map(members, draw_subsets(m, draws, seeded(), sampling)))
    between = [frozenset(s) for size in range(2, m) for s in combinations(range(m), size)]
    assert set(counts) == set(between)

    def probability(subset):
        return 1 / len(between) if sampling == "uniform" else 1 / (m - 2) / comb(m, len(subset))

    expected = {s: draws * probability(s) for s in between}
    statistic = sum((counts[s] - expected[s]) ** 2 / expected[s] for s in between)
    freedom = len(between) - 1
    assert statistic < freedom + 4 * sqrt(2 * freedom)


@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_no_subset_of_any_number_of_modalities(m):
    assert draw_subsets(m, 0).shape == (0, m)


@pytest.mark.parametrize("m", [1, 2])
def test_fewer_than_three_modalities_have_no_subset_in_between(m):
    with pytest.raises(ValueError, match=f"^{m} modalities .*subset.*; .*k = 0"):
        draw_subsets(m, 1)


def test_a_negative_number_of_subsets_is_refused():
    with pytest.raises(ValueError, match=r"number of subsets is -1; .*0 or more"):
        draw_subsets(4, -1)


def test_a_sampling_of_another_name_is_refused():
    with pytest.raises(ValueError, match=r"no sampling 'size'; it is 'uniform' or 'by_size'"):
        draw_subsets(4, 1, sampling="size")


@st.composite
def presence_and_subsets(draw):
    b, m = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    few = draw(bools(3, m))
    return draw(bools(b, m)), few[draw(st.lists(st.integers(0, 2), max_size=5))]


@EXAMPLES
@given(presence_and_subsets())
def test_each_distinct_subset_of_what_a_row_has_is_a_term_exactly_once(drawn):
    present, subsets = drawn
    terms = distinct_terms(present, subsets)
    for b, row in enumerate(present):
        has = members(row)
        expected = {has, *(frozenset({m}) for m in has), *(has & members(s) for s in subsets)} - {frozenset()}
        subsets_of_row = [has] if terms.joint[b] else []
        subsets_of_row += [frozenset({m}) for m in members(terms.alone[b])]
        subsets_of_row += [members(cut) for cut in terms.cuts[:, b] if cut.any()]
        assert len(subsets_of_row) == len(set(subsets_of_row))
        assert set(subsets_of_row) == expected


def test_only_the_first_of_equal_cuts_counts():
    present = torch.tensor([[1, 1, 1, 0]]) > 0
    subsets = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]]) > 0
    assert distinct_terms(present, subsets).cuts.any(2).flatten().tolist() == [True, True, False]


def test_a_model_supports_its_own_sets_and_nothing_at_all():
    subsets = [frozenset({"a"}), frozenset({"a", "b"})]
    assert [supports(subsets, given) for given in (["b", "a"], ("a",), (), ["b"])] == [True, True, True, False]
    assert supports(None, ["b", "c"])
