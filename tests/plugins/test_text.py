"""Texts: alphabets given or learned, cells there and back, networks of the paper, a likelihood that sums to one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from facts import assert_facts
from mmt_text import GRU, Text
from mmt_text.gru import GRUReader, GRUWriter
from mmtoolkit import MVAE, Batch, Observed, WrittenDecoder, build
from mmtoolkit.base.yaml12 import read_yaml, write_yaml
from toys import EXAMPLES, Vector, randn, seeded

DIGITS = Text(length=4, alphabet="0123456789")
AB = Text(length=3, alphabet=("a", "b"))
WORDS = Text(length=3, tokens="words", alphabet=("the", "cat", "sat"))
STOP, START = 0, 1
FEEDBACKS = ("teacher", "argmax")


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        Text(**{"length": 4, **options})
    (error,) = raised.value.errors()
    return error["msg"].removeprefix("Value error, ")


def fault(text: Text, cell: Any) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        text.parse(cell)
    return str(raised.value)


def ids(*texts: str, of: Text = AB) -> Tensor:
    return torch.stack([of.parse(text) for text in texts])


def with_garbage(text: Text, x: Tensor, seed: int = 0) -> Tensor:
    """The same texts with anything after the stop, ids of no symbol among it."""
    anything = torch.randint(-5, 1000, x.shape, generator=seeded(seed))
    after = nn.functional.pad((x == STOP).cumsum(1) > 0, (1, -1))
    assert (after & (anything != x)).any()
    return torch.where(after, anything, x)


# Alphabets.


def test_an_alphabet_is_text_or_a_list() -> None:
    assert DIGITS.alphabet == tuple("0123456789")
    assert Text(length=4, alphabet=[0, 1]).alphabet == ("0", "1")
    assert Text(length=4, tokens="words", alphabet="the cat").alphabet == ("the", "cat")
    assert Text(length=4, alphabet="e\u0301a").alphabet == ("é", "a")
    assert Text(length=4, alphabet=("\u212b",)).alphabet == ("Å",)


def test_what_is_no_alphabet() -> None:
    empty = "an alphabet needs a symbol or more; name them, or leave it out to learn it"
    assert refused(alphabet="") == empty
    assert refused(alphabet=[]) == empty
    assert refused(alphabet="aba") == "the symbol 'a' is named twice; name each once"
    assert refused(alphabet=["é", "e\u0301"]) == "the symbol 'é' is named twice; name each once"
    assert refused(alphabet=["10", "1"]) == "'10' is no single character; mend the alphabet, or set tokens: words"
    word = "is no single word; write each word alone, without spaces"
    assert refused(tokens="words", alphabet=["a b"]) == f"'a b' {word}"
    assert refused(tokens="words", alphabet=[""]) == f"'' {word}"
    assert refused(alphabet=123) == "123 is a number; write its digits in quotes"
    assert refused(alphabet="a\ufffd", unknown=True) == (
        "'\ufffd' stands for unknown symbols; remove it from the alphabet, or set unknown: false"
    )
    assert Text(length=4, alphabet="a\ufffd").symbols == ("a", "\ufffd")


def test_what_are_no_bounds() -> None:
    assert refused(length=0) == "Input should be greater than or equal to 1"
    assert refused(length=4097) == "Input should be less than or equal to 4096"
    assert refused(min_length=5) == "min_length is 5 and length 4; set it to length or less"
    assert refused(tokens="words", min_length=-1) == "Input should be greater than or equal to 0"


@pytest.mark.parametrize("seed", range(3))
def test_an_alphabet_is_learned_by_frequency_then_by_the_alphabet(seed: int) -> None:
    cells: list[Any] = ["ba", "b", "ca", 5.5, "", "Z"]
    random.Random(seed).shuffle(cells)
    learned = Text(length=4, weight=3.0).fit([cells[:2], cells[2:]])
    assert learned == Text(length=4, weight=3.0, alphabet=tuple("5ab.Zc"), unknown=True)
    assert learned.symbols == (*"5ab.Zc", "\ufffd")
    assert Text(length=4, vocabulary_size=2).fit([cells]).alphabet == ("5", "a")
    words = Text(length=4, tokens="words").fit([["the cat", " the  dog\n"]])
    assert words.alphabet == ("the", "cat", "dog")


def test_cells_that_cannot_be_read_teach_nothing() -> None:
    cells = ["ab", "ccccc", True, float("nan"), "\ud800", "\ufffd", "d"]
    assert Text(length=4, min_length=2).fit([cells]).alphabet == ("a", "b")
    assert Text(length=4, unknown=False).fit([cells]).alphabet == ("a", "b", "d", "\ufffd")
    for nothing in ([], ["", ""], ["\ufffd"]):
        with pytest.raises(ValueError, match="hold no symbol to learn an alphabet from; give alphabet"):
            Text(length=4).fit([nothing])


@pytest.mark.parametrize("cells", [["a b c", "b c d e"], ["", "a b c"]])
def test_where_no_text_can_be_read_the_first_fault_is_told(cells: list[str]) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        Text(length=2, tokens="words").fit([cells])
    assert_facts(str(raised.value), "'a b c' has 3 words, and length is 2", "set length to 3 or more")
    assert "alphabet" not in str(raised.value)


def test_a_given_alphabet_stays_and_nothing_is_read() -> None:
    cells = iter([["x"]])
    assert AB.fit(cells) is AB
    assert next(cells) == ["x"]
    assert AB.symbols == ("a", "b")


def test_an_alphabet_that_is_not_known_yet() -> None:
    with pytest.raises(ValueError, match="the alphabet is not known yet; give it, or let `fit` learn it"):
        Text(length=4).encoder(4)


@pytest.mark.slow
@EXAMPLES
@given(cells=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1).filter(any))
def test_options_go_through_json_and_yaml(cells: list[str]) -> None:
    try:
        learned = Text(length=6).fit([cells])
    except ValueError:
        return  # of � alone
    assert Text.model_validate_json(learned.model_dump_json()) == learned
    assert Text.model_validate(read_yaml(write_yaml(learned.model_dump(mode="json")), "saved").data) == learned


# Cells.


@EXAMPLES
@given(cells=st.lists(st.text("abé e\u0301\u1100\u1161\U0001f600", max_size=6), min_size=1))
def test_a_cell_goes_there_and_back(cells: list[str]) -> None:
    alphabet = Text(length=6, alphabet="abé e\u0302\u1100\U0001f600가", unknown=True)
    parsed = alphabet.parse_column(cells)
    assert not parsed.faults
    assert parsed.present.all()
    for cell, x in zip(cells, alphabet.prepare(parsed.stored, None, None), strict=True):
        assert torch.equal(alphabet.parse(alphabet.cell(x)), x)
        assert torch.equal(alphabet.parse(cell), x)
    stored = ids("", "ab", "bbb")
    assert [AB.cell(x) for x in stored] == ["", "ab", "bbb"]
    assert stored.tolist() == [[0, 0, 0], [2, 3, 0], [3, 3, 3]]
    assert stored.dtype == torch.int64


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1773, "1773"),
        (0, "0"),
        (np.int64(12), "12"),
        ("", ""),
        (np.str_("07"), "07"),
        (np.array(["42"])[0], "42"),
    ],
)
def test_numbers_are_texts_too(cell: Any, text: str) -> None:
    assert DIGITS.cell(DIGITS.parse(cell)) == text


def test_columns_of_numbers() -> None:
    for cells in (np.array([17, 3]), np.array(["17", "3"]), ["17", 3]):
        found = DIGITS.parse_column(cells)
        assert found.stored.tolist() == [[3, 9, 0, 0], [5, 0, 0, 0]]
        assert found.present.all()
        assert not found.faults
    assert Text(length=4, alphabet="0.5").cell(Text(length=4, alphabet="0.5").parse(np.float32(0.5))) == "0.5"


def test_normal_forms_are_one() -> None:
    accents = Text(length=2, alphabet=("é", "q", "\u0303"))
    assert torch.equal(accents.parse("e\u0301"), accents.parse("é"))
    assert accents.cell(accents.parse("q\u0303")) == "q\u0303"


def test_words() -> None:
    assert WORDS.parse(" the\tcat\n").tolist() == [2, 3, 0]
    assert WORDS.cell(WORDS.parse("sat  the cat")) == "sat the cat"
    assert WORDS.cell(WORDS.parse("  ")) == ""
    assert fault(WORDS, "the dog") == (
        "'the dog': the word 'dog' at position 2 is not in the alphabet; mend it, add it to alphabet, or set "
        "unknown: true"
    )
    assert fault(WORDS, "a b c d") == "'a b c d' has 4 words, and length is 3; shorten it, or set length to 4 or more"


def test_symbols_outside_a_learned_alphabet_are_unknown() -> None:
    learned = Text(length=4, vocabulary_size=2).fit([["aab", "bc"]])
    assert learned.parse("cab?").tolist() == [4, 2, 3, 4]
    assert learned.cell(learned.parse("cab?")) == "\ufffdab\ufffd"
    assert learned.size == 5
    assert fault(Text(length=4, alphabet=("a", "\ufffd")), "b") == f"'b': the character 'b' at position 1 {STRANGER}"
    words = Text(length=2, tokens="words", alphabet=("the",), unknown=True)
    assert words.cell(words.parse("the dog")) == "the \ufffd"


STRANGER = "is not in the alphabet; mend it, add it to alphabet, or set unknown: true"
LONG = "shorten it, or set length to"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("12x4", f"'12x4': the character 'x' at position 3 {STRANGER}"),
        (-17, f"-17: the character '-' at position 1 {STRANGER}"),
        (np.float64(0.5), f"0.5: the character '.' at position 2 {STRANGER}"),
        ("12345", f"'12345' has 5 characters, and length is 4; {LONG} 5 or more"),
        (np.int64(12345), f"12345 has 5 characters, and length is 4; {LONG} 5 or more"),
        ("1" * 99, f"'{'1' * 38}… has 99 characters, and length is 4; {LONG} 99 or more"),
        (True, "True is no text but bool; give text or a number"),
        (np.True_, "True is no text but bool; give text or a number"),
        (b"12", "b'12' is no text but bytes; give text or a number"),
        (["1", "2"], "['1', '2'] is no text but list; give text or a number"),
        (float("nan"), "nan is no text; give text, or leave the cell empty"),
        (np.float32("-inf"), "-inf is no text; give text, or leave the cell empty"),
        ("1\ud800", "'1\\ud800' holds half of a surrogate pair, which is no character; mend it"),
    ],
)
def test_bad_cells(cell: Any, text: str) -> None:
    assert fault(DIGITS, cell) == text


def test_texts_that_are_too_short() -> None:
    two = Text(length=4, min_length=2, alphabet="01")
    assert fault(two, "") == "'' has 0 characters, and min_length is 2; mend it, or set min_length to 0"
    assert fault(two, "1") == "'1' has 1 character, and min_length is 2; mend it, or set min_length to 1"
    assert two.cell(two.parse("10")) == "10"


def test_faults_blanks_and_empty_texts_are_told_apart() -> None:
    found = AB.parse_column(["ab", None, "xax", "", "aaaa", "bxx", 7])
    assert found.present.tolist() == [True, False, False, True, False, False, False]
    assert found.stored.shape == (7, 3)
    assert found.stored[[0, 3]].tolist() == [[2, 3, 0], [0, 0, 0]]
    assert list(map(found.faults.get, (2, 4, 5, 6))) == [
        f"'xax': the character 'x' at position 1 {STRANGER}",
        f"'aaaa' has 4 characters, and length is 3; {LONG} 4 or more",
        f"'bxx': the character 'x' at position 2 {STRANGER}",
        f"7: the character '7' at position 1 {STRANGER}",
    ]
    assert len(found.faults) == 4
    nothing = AB.parse_column([None, None])
    assert not nothing.present.any()
    assert (nothing.stored.shape, nothing.stored.dtype) == ((2, 3), torch.int64)


# Networks.


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_networks_have_the_paper_s_size() -> None:
    assert parameters(DIGITS.encoder(200)) == 525_000
    assert (
        parameters(Text(length=4, alphabet=DIGITS.alphabet, network=GRU(state="last_position")).encoder(200)) == 525_000
    )
    assert parameters(DIGITS.encoder(200, extra=7)) == 525_000 + (207 + 1) * 200
    assert parameters(DIGITS.branch(512)) == 525_000 + 312 * 201
    assert DIGITS.size == 12
    gru = 3 * 200 * (300 + 200 + 2) + 3 * 200 * (200 + 200 + 2)
    assert parameters(DIGITS.decoder(100)) == 12 * 200 + 101 * 200 + gru + (300 + 1) * 12


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 4])
def test_shapes(rows: int, length: int) -> None:
    text = Text(length=length, alphabet=("a", "b"))
    x = torch.randint(4, (rows, length))
    assert text.encoder(6)(x).shape == (rows, 6)
    assert text.encoder(6, extra=3)(x, torch.randn(rows, 3)).shape == (rows, 6)
    assert text.branch(5)(x).shape == (rows, 5)
    assert text.condition(x).shape == (rows, text.condition_size)
    p = text.decoder(5)(torch.randn(rows, 5))
    assert (p.batch_shape, p.event_shape, p.has_rsample) == ((rows,), (length,), False)
    assert p.sample().shape == text.point(p).shape == (rows, length)
    assert p.sample((3,)).shape == (3, rows, length)
    assert p.log_prob(p.sample((3,))).shape == (3, rows)


def test_a_condition_counts() -> None:
    encoder, x = AB.encoder(6, extra=3), ids("ab")
    assert not torch.equal(encoder(x, torch.zeros(1, 3)), encoder(x, torch.ones(1, 3)))


def test_a_conditional_network_is_told_symbols_and_stop() -> None:
    assert AB.condition_size == 12
    told = AB.condition(ids("b", "", "aba")).unflatten(1, (3, 4))
    assert told.tolist() == [
        [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    ]


def as_bidirectional(reader: GRUReader) -> nn.GRU:
    """PyTorch's bidirectional GRU with the weights of a reader."""
    both = nn.GRU(200, 200, batch_first=True, bidirectional=True).double()
    for name, parameter in reader.onward.named_parameters():
        getattr(both, name).data = parameter.data
        getattr(both, f"{name}_reverse").data = dict(reader.reverse.named_parameters())[name].data
    return both


def test_the_reader_is_a_packed_bidirectional_gru() -> None:
    reader = GRUReader(AB.form()).double()
    both = as_bidirectional(reader)
    texts = ("", "a", "ba", "aab", "bbb")
    stopped = nn.functional.pad(ids(*texts), (0, 1))
    sizes = torch.tensor([len(text) + 1 for text in texts])
    packed = nn.utils.rnn.pack_padded_sequence(reader.embedding(stopped), sizes, True, enforce_sorted=False)
    _, states = both(packed)
    torch.testing.assert_close(reader(ids(*texts)), states.sum(0), rtol=1e-12, atol=1e-14)
    assert not torch.allclose(states[0], states[1])


def test_the_released_reader_takes_the_last_position() -> None:
    reader = GRUReader(AB.form(), state="last_position").double()
    x = ids("", "a", "ba", "aab")
    outputs, _ = as_bidirectional(reader)(reader.embedding(x))
    expected = outputs[:, -1].unflatten(1, (2, 200)).sum(1)
    torch.testing.assert_close(reader(x), expected, rtol=1e-12, atol=1e-14)
    other = GRUReader(AB.form()).double()
    other.load_state_dict(reader.state_dict())
    assert not torch.allclose(other(x), reader(x))


# The likelihood.


def sharp(text: Text, size: int = 4) -> WrittenDecoder:
    """A decoder whose probabilities are far from even and depend much on what is fed back."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        decoder = text.decoder(size).double().eval().network
    assert isinstance(decoder, WrittenDecoder)
    assert isinstance(decoder.writer, GRUWriter)
    with torch.no_grad():
        decoder.writer.out.weight *= 8
        decoder.writer.get_parameter("embedding.0.weight").mul_(4)
    return decoder


def writer_of(decoder: WrittenDecoder) -> GRUWriter:
    assert isinstance(decoder.writer, GRUWriter)
    return decoder.writer


def texts_up_to(length: int, least: int = 0) -> list[str]:
    return ["".join(letters) for n in range(least, length + 1) for letters in itertools.product("ab", repeat=n)]


def explicit_gru(gru: nn.GRU, x: Tensor, states: list[Tensor]) -> list[Tensor]:
    """One step by the equations of Cho et al. 2014, as PyTorch numbers the gates."""
    found = []
    for layer, h in enumerate(states):
        w = {name: getattr(gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        of_x = (w["weight_ih"] @ x + w["bias_ih"]).split(200)
        of_h = (w["weight_hh"] @ h + w["bias_hh"]).split(200)
        reset, update = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
        h = (1 - update) * torch.tanh(of_x[2] + reset * of_h[2]) + update * h
        found.append(h)
        x = h
    return found


def explicit_probabilities(
    writer: GRUWriter, z: Tensor, follow: Callable[[int, Tensor], int], least: int = 0
) -> list[Tensor]:
    """The probabilities of the symbols at each place for one z, feeding back what `follow` says of a place."""
    states, before, found = [writer.initial(z)] * 2, START, []
    for place in range(writer.form.length):
        embedded = nn.functional.silu(writer.embedding[0](torch.tensor(before)))
        states = explicit_gru(writer.gru, torch.cat([embedded, z]), states)
        weights = writer.out(torch.cat([states[1], z])).exp()
        weights = weights * torch.tensor([place >= least, 0, *[1] * (len(weights) - 2)])
        found.append(weights / weights.sum())
        before = follow(place, found[-1])
    return found


def explicit_log_prob(writer: GRUWriter, z: Tensor, text: Tensor, feedback: str, least: int) -> float:
    def follow(place: int, probabilities: Tensor) -> int:
        return int(probabilities.argmax() if feedback == "argmax" else text[place])

    total = 0.0
    for symbol, probabilities in zip(text.tolist(), explicit_probabilities(writer, z, follow, least), strict=True):
        total += math.log(probabilities[symbol].item())
        if symbol == STOP:
            break
    return total


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("least", [0, 1, 3])
def test_log_prob_is_the_sum_over_steps(least: int, feedback: Any) -> None:
    text = Text(length=3, alphabet=("a", "b"), network=GRU(feedback=feedback), min_length=least)
    decoder, texts = sharp(text), ids(*texts_up_to(3, least))
    z = randn(len(texts), 4)
    expected = [explicit_log_prob(writer_of(decoder), z[i], texts[i], feedback, least) for i in range(len(texts))]
    found = decoder(z).log_prob(texts)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)
    assert found.std() > 0.5


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("least", [0, 1, 3])
def test_probabilities_sum_to_one(least: int, feedback: Any) -> None:
    text = Text(length=3, alphabet=("a", "b"), network=GRU(feedback=feedback), min_length=least)
    texts, z = ids(*texts_up_to(3)), randn(5, 4) * 3
    p = sharp(text)(z).log_prob(texts.unsqueeze(1).expand(-1, 5, -1)).exp()  # (texts, 5)
    torch.testing.assert_close(p.sum(0), torch.ones(5).double(), rtol=1e-12, atol=0)
    short = torch.tensor([len(t) < least for t in texts_up_to(3)])
    assert (p[short] == 0).all()
    assert (p[~short] > 0).all()


def test_what_is_fed_back_matters() -> None:
    z, x = randn(15, 4), ids(*texts_up_to(3))
    decoder = sharp(AB)
    taught = decoder(z).log_prob(x)
    decoder.writer.feedback = "argmax"
    same = torch.isclose(taught, decoder(z).log_prob(x), rtol=1e-9)
    # The last symbol that there is room for is never fed back, and after a stop nothing is.
    alike = (x == STOP) | (x == decoder(z).mode)
    assert torch.equal(same, alike[:, :-1].all(1))
    assert 2 < same.sum() < 10


def test_gradients_are_finite_where_probabilities_are_zero() -> None:
    text = Text(length=3, alphabet=("a", "b"), min_length=2)
    decoder, z = sharp(text), randn(2, 4).requires_grad_()
    log_p = decoder(z).log_prob(ids("aab", "", of=AB))
    assert log_p[0].isfinite()
    assert log_p[1] == -torch.inf
    log_p.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (z, *decoder.parameters()))


def test_dropout_rests_outside_training() -> None:
    decoder, z, x = sharp(AB), randn(2, 4), ids("ab", "b")
    assert torch.equal(decoder(z).log_prob(x), decoder(z).log_prob(x))
    decoder.train()
    assert not torch.equal(decoder(z).log_prob(x), decoder(z).log_prob(x))


def test_extreme_draws_keep_log_prob_finite() -> None:
    decoder = DIGITS.decoder(4)
    assert decoder(torch.full((1, 4), 1e6)).log_prob(DIGITS.parse("17")[None]).isfinite().all()


def test_half_precision_is_raised() -> None:
    x = ids("a", "bab")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = AB.encoder(8)(x).chunk(2, dim=1)[0]
        p = AB.decoder(4)(z)
        assert z.dtype == torch.bfloat16
        assert p.log_prob(x).dtype == torch.float32
        p.log_prob(x).sum().backward()
        assert p.sample().shape == AB.point(p).shape == (2, 3)
    assert AB.decoder(4).bfloat16()(z).log_prob(x).dtype == torch.float32
    assert sharp(AB)(randn(2, 4)).log_prob(x).dtype == torch.float64


def test_rows_do_not_see_each_other() -> None:
    z, x = randn(14, 4), ids(*texts_up_to(3)[:14])
    order = torch.randperm(14, generator=seeded())
    decoder, encoder = sharp(AB), AB.encoder(6).double()
    torch.testing.assert_close(decoder(z[order]).log_prob(x[order]), decoder(z).log_prob(x)[order], rtol=1e-12, atol=0)
    torch.testing.assert_close(encoder(x[order]), encoder(x)[order], rtol=1e-12, atol=1e-14)
    assert torch.equal(AB.point(decoder(z[order])), AB.point(decoder(z))[order])


# What stands after the stop.


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("state", ["last", "last_position"])
def test_what_follows_the_stop_changes_no_bit(feedback: Any, state: Any) -> None:
    text = Text(length=3, alphabet=("a", "b"), network=GRU(feedback=feedback, state=state))
    x = ids("", "a", "ba", "aba", "b")
    encoder, branch, decoder = text.encoder(8, extra=2), text.branch(5), text.decoder(4).eval()
    networks = nn.ModuleList([encoder, branch, decoder])

    def everything(x: Tensor) -> list[Tensor]:
        networks.zero_grad()
        features = encoder(x, torch.ones(5, 2))
        log_p = decoder(features[:, :4]).log_prob(x)
        found = [features, branch(x), log_p, text.condition(x), text.baseline(iter([x[:2], x[2:]]))]
        found += text.scores(x, ids("ba", "a", "", "aba", "b")).values()
        found += text.scores(ids("ba", "a", "", "aba", "b"), x).values()
        (log_p.sum() + found[1].sum()).backward()
        return found + [p.grad.clone() for p in networks.parameters() if p.grad is not None]

    clean = everything(x)
    for seed in range(3):
        dirty = with_garbage(text, x, seed)
        for before, after in zip(clean, everything(dirty), strict=True):
            assert torch.equal(before, after)
        assert [text.cell(value) for value in dirty] == ["", "a", "ba", "aba", "b"]


# Samples.


@pytest.mark.slow
@pytest.mark.parametrize(("feedback", "least"), [("teacher", 0), ("teacher", 2), ("argmax", 0), ("argmax", 1)])
def test_samples_are_as_frequent_as_log_prob_says(feedback: Any, least: int) -> None:
    text = Text(length=2, alphabet=("a", "b"), network=GRU(feedback=feedback), min_length=least)
    decoder, n, texts = sharp(text), 2000, texts_up_to(2, least)
    with torch.no_grad():
        writer_of(decoder).out.weight /= 4  # no text is so rare that it is not drawn
        z = randn(2, 4)
        log_p = decoder(z).log_prob(ids(*texts, of=text).unsqueeze(1).expand(-1, 2, -1))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = [text.cell(x) for x in decoder(z.repeat(n, 1)).sample()]
    for row in range(2):
        counts = torch.tensor([drawn[row::2].count(t) for t in texts])
        expected = n * log_p[:, row].exp()
        assert counts.sum() == n
        assert expected.min() > 3
        # Mean and standard deviation of chi-squared with df degrees of freedom are df and sqrt(2 df).
        df = len(texts) - 1
        assert ((counts - expected).square() / expected).sum() < df + 4 * math.sqrt(2 * df)


def test_samples_come_from_the_default_generator() -> None:
    p = sharp(AB)(randn(50, 4))
    draws = []
    with torch.random.fork_rng():
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(p.sample())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert (p.log_prob(torch.cat(draws[1:]).view(2, 50, 3)) > -torch.inf).all()


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("least", [0, 2])
def test_the_point_is_the_greedy_text(feedback: Any, least: int) -> None:
    text = Text(length=6, alphabet=("a", "b", "c"), network=GRU(feedback=feedback), min_length=least)
    decoder, z = sharp(text), randn(40, 4) * 3
    found = text.point(decoder(z))
    sizes = set()
    for i in range(len(z)):
        steps = explicit_probabilities(writer_of(decoder), z[i], lambda _, p: int(p.argmax()), least)
        greedy = [int(p.argmax()) for p in steps]
        stop = greedy.index(STOP) if STOP in greedy else len(greedy)
        assert found[i].tolist() == greedy[:stop] + [STOP] * (6 - stop)
        sizes.add(stop)
    assert len(sizes) > 2
    assert min(sizes) >= least


# Training.


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"feedback": "argmax", "state": "last_position"}, {"tokens": "words", "alphabet": ("to", "be")}]
)
def test_it_trains_in_an_mvae(options: dict[str, Any]) -> None:
    text = Text(**{"length": 3, "alphabet": ("a", "b"), **options})
    cells = ["to be", "be", "", "to"] if text.tokens == "words" else ["ab", "b", "", "aba"]
    x = text.parse_column(cells * 4).stored
    other = torch.linspace(-1, 1, 4).repeat(4)[:, None].expand(-1, 2)
    network = build(MVAE(latent_dim=4), {"text": text, "other": Vector()}, seed=0)
    present = torch.tensor([[True] * 12 + [False] * 4, [False] * 4 + [True] * 12])
    batch = Batch({"text": Observed(x, present[0]), "other": Observed(other, present[1])})
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(25):
            optimiser.zero_grad()
            loss, parts = network(batch)
            loss.backward()
            gradients = {name: p.grad for name, p in network.named_parameters()}
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert list(parts) == ["log p(text)", "log p(other)", "KL"]
    still = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    # A direction that reads one symbol starts from zero and has nothing to carry.
    assert still == (
        ["encoders.0.network.first.reverse.weight_hh_l0"] if options.get("state") == "last_position" else []
    )
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


# Scores.


def test_scores_are_one_number_a_row() -> None:
    point, x = ids("aba", "ab", "", "", "b", "abb"), ids("aba", "aba", "", "b", "ab", "bba")
    scores = AB.scores(point, x)
    assert list(scores) == ["exact_match", "character_accuracy"]
    assert scores["exact_match"].tolist() == [1, 0, 1, 0, 0, 0]
    torch.testing.assert_close(scores["character_accuracy"], torch.tensor([1, 2 / 3, 1, 0, 0, 1 / 3]))
    assert list(WORDS.scores(point, x)) == ["exact_match", "word_accuracy"]


def test_the_average_is_the_text_that_most_draws_give() -> None:
    class Known:
        mode = ids("a", "ab", "b", "ab", "b", "a", "bb", "a", "b", "bb")  # 5 draws of 2 rows

    text = AB.model_copy()
    object.__setattr__(text, "point", lambda p: p.mode)
    assert [AB.cell(x) for x in text.average(Known(), 5)] == ["b", "ab"]  # type: ignore[arg-type]
    p = sharp(AB)(randn(6, 4))
    assert torch.equal(AB.average(p, 1), AB.point(p))


def test_the_character_error_rate_counts_edits() -> None:
    metric = AB.metrics()["character_error_rate"]
    metric.update(with_garbage(AB, ids("ab", "b")), ids("aba", ""))  # one inserted, one deleted
    metric.update(ids("ba"), ids("ab"))  # two replaced
    assert float(metric.compute()) == pytest.approx(4 / 5)
    metric = WORDS.metrics()["character_error_rate"]
    metric.update(ids("the sat", of=WORDS), ids("the cat", of=WORDS))
    assert float(metric.compute()) == pytest.approx(1 / 7)


def test_the_baseline_is_the_most_frequent_text() -> None:
    baseline = AB.baseline(iter([ids("ab", "b", "ab"), ids("b", "b")]))
    assert (AB.cell(baseline), baseline.shape, baseline.dtype) == ("b", (3,), torch.int64)
    assert AB.cell(AB.baseline(iter([ids("ab", "b")]))) == "ab"
    assert AB.cell(AB.baseline(iter([ids("", "b", "")]))) == ""
    assert AB.baseline(iter([])).tolist() == [0, 0, 0]


def test_text_and_drawing() -> None:
    from matplotlib.figure import Figure

    assert AB.text(ids("ab")[0]) == "'ab'"
    assert AB.text(ids("")[0]) == "''"
    long = Text(length=200, tokens="words", alphabet=("money$", "it's"))
    axes = Figure().subplots()
    long.draw(long.parse("money$ it's " * 60), axes)
    lines = axes.texts[0].get_text().splitlines()
    assert lines[0] == "\"money$ it's money$"
    assert lines[-1].endswith("…")
    assert len(lines) == 9
    assert max(map(len, lines)) <= 22
