"""Checks of a likelihood's probabilities: they sum to one, and draws come as often as they say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components import Classes, Form, Likelihood, Tokens, Writer
from mmtoolkit.components.support import IN_WORDS, belongs
from mmtoolkit.testing.draws import ERRORS, mean_score, unlike_chances
from mmtoolkit.testing.forms import called, size_of, texts_of
from mmtoolkit.testing.heads import Subject
from mmtoolkit.testing.promises import shape

_NODES, _REACH, _SLACK = 8001, 12.0, 5e-3
_LOOK, _ROWS, _DRAWS = 400, 2000, 10_000
_LARGEST_COUNT = 20_000
_EDGE = 1e-12
_MOST = 0.05  # of the squares in one draw of ten thousand; more of them come from heavy tails
_ROUNDING = 1e-6
SIZE = 3


def draws_lie_in_the_support(subject: Subject) -> Iterator[str]:
    """Draws are values of the support, for raw of any size."""
    for form in subject.forms:
        for size in (1.0, 30.0):
            p = _distribution(subject, form, rows=40, size=size)
            if not bool(_is_value(subject.likelihood, form, p, p.sample()).all()):
                support = "texts" if isinstance(form, Tokens) else IN_WORDS[subject.likelihood.support]
                yield (
                    f"head({called(form)}): draws must be {support}, but others came for raw of size {size:g}; draw "
                    "from the distribution of log_prob, or correct `support`"
                )
                break


def _is_value(likelihood: Likelihood, form: Form, p: Distribution, x: Tensor) -> Tensor:
    """Which draws are values that the likelihood scores."""
    if isinstance(form, Tokens):
        if x.dtype != torch.int64 or x.min() < 0 or x.max() >= form.vocabulary:
            return torch.tensor(False)
        return _is_text(form, x) if p.event_shape else torch.tensor(True)
    if form.support == "classes":
        most = form.count if isinstance(form, Classes) else torch.inf
        return (x >= 0) & (x < most) & torch.tensor(not x.is_floating_point())
    return torch.from_numpy(belongs(x.double().numpy(), likelihood.support))


def _is_text(form: Tokens, x: Tensor) -> Tensor:
    """Which rows (N, L) are symbols followed by STOP alone, long enough."""
    stopped = x == form.STOP
    length = (~stopped).sum(1)
    return (stopped.int().diff(dim=1) >= 0).all(1) & (x != form.START).all(1) & (length >= form.min_length)


def probabilities_sum_to_one(subject: Subject) -> Iterator[str]:
    """Densities over one place integrate to one, and probabilities of all its values sum to one."""
    for form in subject.forms:
        p = _distribution(subject, form, rows=3)
        if p.event_shape and size_of(form) > 1 and not isinstance(form, Tokens):
            continue
        if (total := _total(subject.likelihood, form, p)) is None or (total - 1).abs().max() <= _SLACK:
            continue
        worst = total.flatten()[(total - 1).abs().argmax()]
        yield (
            f"head({called(form)}): log_prob must be a density or probability of x itself, whose sum is one, but it "
            f"sums to {float(worst):.3g}; add the term that it omits, such as -log of a scale"
        )


def _total(likelihood: Likelihood, form: Form, p: Distribution) -> Tensor | None:
    """The mass of all values, in the batch shape of p; None if they cannot be listed."""
    shape = (-1, *[1] * (len(p.batch_shape) + len(p.event_shape)))
    if isinstance(form, Tokens) and p.event_shape:
        texts = texts_of(form)
        return p.log_prob(texts.unsqueeze(1).expand(-1, p.batch_shape[0], -1)).exp().sum(0)
    if form.support == "classes":
        count = form.vocabulary if isinstance(form, Tokens) else getattr(form, "count", None)
        if count is None:
            return None
        return p.log_prob(torch.arange(count).reshape(shape).expand(-1, *p.batch_shape)).exp().sum(0)
    x = p.sample(torch.Size([_LOOK])).double()
    if len(x[:, 0].reshape(_LOOK, -1)[:, 0].unique()) < _LOOK:  # a place of a discrete distribution repeats
        if likelihood.support == "unit":
            values = torch.arange(2.0)
        elif likelihood.support == "whole":
            values = torch.arange(float(min(_LARGEST_COUNT, int((p.mean + 60 * p.stddev + 60).max()))))
        else:
            return None
        return p.log_prob(values.double().reshape(shape).expand(-1, *x.shape[1:])).exp().sum(0)
    if form.support == "cyclic":
        at = torch.arange(_NODES, dtype=torch.float64).add(0.5).reshape(shape) * (2 * math.pi / _NODES)
        start, radius = (torch.tensor(numbers, dtype=torch.float64) for numbers in (form.shift, form.scale))
        log_prob = p.log_prob((start + radius * at).expand(-1, *x.shape[1:]))
        return (log_prob.exp() * (2 * math.pi / _NODES) * radius).sum(0)
    # Nodes around the middle of the draws, ever wider apart: of x, of log x above 0, of logit x from 0 to 1.
    y = {"positive": x.log(), "unit": x.clamp(_EDGE, 1 - _EDGE).logit()}.get(likelihood.support, x)
    low, middle, high = y.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=y.dtype), dim=0)
    t = torch.linspace(-_REACH, _REACH, _NODES, dtype=torch.float64).reshape(shape)
    y, dy = middle + (high - low) * t.sinh(), (high - low) * t.cosh() * (2 * _REACH / (_NODES - 1))
    if likelihood.support == "positive":
        x = y.clamp(-600, 600).exp()
        dy = dy * x
    elif likelihood.support == "unit":
        x = y.sigmoid()
        dy = dy * x * (-y).sigmoid()
    else:
        x = y
    log_prob = p.log_prob(x)
    mass: Tensor = (log_prob.exp() * dy.reshape(log_prob.shape)).nan_to_num().sum(0)
    return mass


def moments_are_those_of_draws(subject: Subject) -> Iterator[str]:
    """Mean and variance are those of draws, where the tails are light enough to tell."""
    for form in subject.forms:
        if form.support in ("classes", "cyclic"):
            continue
        p = _distribution(subject, form, rows=2)
        x = p.sample(torch.Size([_DRAWS])).double()
        mean, variance = p.mean.double(), p.variance.double()
        if mean.shape != x.shape[1:] or variance.shape != x.shape[1:]:
            yield (
                f"head({called(form)}): mean and variance must have the shape of a draw, {shape(x[0])}, but have "
                f"{shape(mean)} and {shape(variance)}; give one for each place"
            )
            continue
        for name, stated, sampled in (
            ("mean", mean, x),
            ("variance", variance, (x - x.mean(0)).square()),
        ):
            if (wrong := _unlike_mean(stated, sampled)) is not None:
                yield (
                    f"head({called(form)}): {name} must be that of draws, but is {float(stated[wrong]):.3g} where that "
                    f"of {_DRAWS} draws is {float(sampled.mean(0)[wrong]):.3g}; make {name} and sample agree"
                )


def _unlike_mean(stated: Tensor, x: Tensor) -> tuple[int, ...] | None:
    """A place where the mean of draws x (n, ...) is not as stated; None if there is none.

    Places where few draws make most of the squares are left out: the error of such a mean cannot be told.
    """
    squares = (x - x.mean(0)).square()
    light = squares.amax(0) <= _MOST * squares.sum(0)
    error = (squares.mean(0) / len(x)).sqrt()
    unlike = light & (error > 0) & ((x.mean(0) - stated).abs() > ERRORS * error + _ROUNDING * stated.abs())
    return tuple(unlike.nonzero()[0].tolist()) if bool(unlike.any()) else None


def draws_follow_the_score(subject: Subject) -> Iterator[str]:
    """The gradient of log p(x) is zero on average over draws x from p."""
    for form in subject.forms:
        head = subject.head(form).double()
        raw = subject.raw(form, rows=_ROWS).double()
        offset = torch.zeros_like(raw[:1])  # the same for all rows, so that their gradients do not cancel
        groups: list[Sequence[Tensor]] = [[offset], *[[parameter] for parameter in head.parameters()]]
        generator = torch.Generator().manual_seed(11)
        off = mean_score(partial(_moved, head, offset), raw, groups, generator)
        if not off <= ERRORS:
            yield (
                f"head({called(form)}): sample must draw from the distribution of log_prob, but the mean gradient of "
                f"log_prob over samples is {off:.0f} standard errors from 0; make the two agree"
            )


def _moved(head: nn.Module, offset: Tensor, raw: Tensor) -> Distribution:
    p: Distribution = head(raw + offset)
    return p


def draws_have_their_probabilities(subject: Subject) -> Iterator[str]:
    """Values of one place come as often as log_prob says."""
    for form in subject.forms:
        p = _distribution(subject, form, rows=1)
        draws = p.sample(torch.Size([_DRAWS])).squeeze(1)
        if not p.event_shape:

            def chances(x: Tensor, p: Distribution = p) -> Tensor:
                everywhere = x.reshape(-1, *[1] * len(p.batch_shape)).expand(-1, *p.batch_shape)
                return p.log_prob(everywhere).exp().reshape(len(x), -1)[:, 0].double()

            draws = draws.reshape(_DRAWS, -1)[:, 0]
        else:

            def chances(x: Tensor, p: Distribution = p) -> Tensor:
                return p.log_prob(x.unsqueeze(1)).exp().squeeze(1).double()

        numbers = draws.flatten() if draws.numel() == len(draws) else None
        for fault in unlike_chances(chances, draws, numbers):
            yield f"head({called(form)}): {fault}"


def _distribution(subject: Subject, form: Form, rows: int, size: float = 1.0) -> Distribution:
    """In float64."""
    with torch.no_grad():
        p: Distribution = subject.head(form).double()(subject.raw(form, rows, size).double())
    return p


def texts_are_written(subject: Subject) -> Iterator[str]:
    """`written`, if it scores texts symbol by symbol, gives all texts together probability one, and draws by it."""
    if type(subject.likelihood).written is Likelihood.written:
        return
    for form in (form for form in subject.forms if isinstance(form, Tokens)):
        generator = torch.Generator().manual_seed(3)
        writer = SumWriter(form).double()
        z = torch.randn(_ROWS, SIZE, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            p = subject.likelihood.written(writer, z)
            if not isinstance(p, Distribution) or p.batch_shape != (_ROWS,) or p.event_shape != (form.length,):
                yield f"written: must return a Distribution with batch (N,) and event {form.places}, but does not"
                return
            if not bool(_is_text(form, p.sample()).all()):
                yield f"written: must draw texts of {called(form)}, but drew others; after STOP write STOP alone"
            texts = texts_of(form)
            one = subject.likelihood.written(writer, z[:1].expand(len(texts), -1))
            total = float(one.log_prob(texts).exp().sum())
        if abs(total - 1) > 1e-6:
            yield (
                f"written: the probabilities of all texts must sum to one, but sum to {total:.3g}; give no probability "
                "to what is no text"
            )
        off = mean_score(partial(subject.likelihood.written, writer), z, [[z], list(writer.parameters())], generator)
        if not off <= ERRORS:
            yield "written: sample must draw from the distribution of log_prob, but does not; make the two agree"


class SumWriter(Writer):
    """A small writer, whose state is the sum of the embeddings of the symbols before.

    Args:
        form: of the texts.
    """

    def __init__(self, form: Tokens) -> None:
        super().__init__(form)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            self.embedding = nn.Embedding(form.vocabulary, form.vocabulary)
            self.dense = nn.Linear(SIZE, form.vocabulary)

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (N, T, V) of the symbols that follow (N, T), and the sum after them."""
        sums = self.embedding(before).cumsum(1)
        if state is not None:
            sums = sums + state.unsqueeze(1)
        return sums + self.dense(z).unsqueeze(1), sums[:, -1]


CHECKS = (
    draws_lie_in_the_support,
    probabilities_sum_to_one,
    moments_are_those_of_draws,
    draws_follow_the_score,
    draws_have_their_probabilities,
    texts_are_written,
)
