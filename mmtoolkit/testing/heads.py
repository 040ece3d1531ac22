"""Checks of a likelihood: the distributions that its heads return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components import Form, Likelihood, Tokens
from mmtoolkit.components.support import Support, is_within
from mmtoolkit.testing.forms import called, forms_scored, values_of
from mmtoolkit.testing.promises import (
    close,
    double,
    finite,
    gradient_faults,
    networks_of,
    raised,
    read_back,
    round_trip,
    shape,
)
from mmtoolkit.testing.subjects import quote

ROWS = 6
_SIZES = (1.0, 30.0, 1e4)


class Subject:
    """A likelihood under test, and forms that it scores.

    Args:
        likelihood: any one.
        forms: by default small ones of the types that ship with mmtoolkit.
    """

    def __init__(self, likelihood: Likelihood, forms: Sequence[Form] | None = None) -> None:
        self.likelihood = likelihood
        self.given = forms is not None
        self._forms = forms

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms to try."""
        return forms_scored(self.likelihood) if self._forms is None else tuple(self._forms)

    def head(self, form: Form, seed: int = 0) -> nn.Module:
        """A head in evaluation mode, with the same start for the same seed."""
        return networks_of(lambda: self.likelihood.head(form), seed)

    def raw(self, form: Form, rows: int = ROWS, size: float = 1.0, seed: int = 2) -> Tensor:
        """Outputs of a network: (N, numbers, *places)."""
        generator = torch.Generator().manual_seed(seed)
        return size * torch.randn(rows, self.likelihood.numbers(form), *form.places, generator=generator)


@dataclass(frozen=True)
class Stranger(Form):
    """A form that no likelihood scores."""

    name: ClassVar[str] = "a stranger"

    @property
    def places(self) -> tuple[int, ...]:
        """(2,)."""
        return (2,)


def forms_fit(subject: Subject) -> Iterator[str]:
    """`misfit` is None for forms that it scores, and says why it cannot score another type or support."""
    likelihood = subject.likelihood
    type(likelihood).check_class()
    if not subject.forms:
        raise ValueError(
            f"{likelihood.kind} fits no form that the kit knows; pass forms, or correct scores, support and misfit"
        )
    for form in subject.forms:
        if (misfit := likelihood.misfit(form)) is not None:
            yield f"misfit: must be None for {called(form)}, but is {misfit!r}; correct it, or pass other forms"
        others = [support for support in get_args(Support) if not is_within(support, likelihood.support)]
        for support in cast(list[Support], others):
            other = replace(form, support=support)
            if not _says_why(likelihood, other):
                yield (
                    f"misfit: must say why it cannot score {called(other)}, as its support is {likelihood.support}, "
                    "but does not; ask super().misfit first"
                )
    if not _says_why(likelihood, Stranger(support=likelihood.support)):
        yield "misfit: must say why it cannot score a form outside scores, but does not; ask super().misfit first"


def _says_why(likelihood: Likelihood, form: Form) -> bool:
    misfit = likelihood.misfit(form)
    return isinstance(misfit, str) and bool(misfit)


def heads_return_distributions(subject: Subject) -> Iterator[str]:
    """`head` maps raw (N, numbers, *places) to a distribution over all places, for one row or many."""
    for form in subject.forms:
        numbers = subject.likelihood.numbers(form)
        if not isinstance(numbers, int) or numbers < 1:
            yield f"numbers({called(form)}): must be a whole number from 1 on, but is {numbers!r}; correct it"
            continue
        for rows in (ROWS, 1):
            if faults := list(_distribution(subject, form, rows)):
                yield from faults
                break


def _distribution(subject: Subject, form: Form, rows: int) -> Iterator[str]:
    where, batch = f"head({called(form)})", (rows, *form.places)
    with torch.no_grad():
        head, raw = subject.head(form), subject.raw(form, rows)
        try:
            p = head(raw)
        except (IndexError, ValueError) as error:
            if isinstance(error, ValueError) and "unpack" not in str(error):
                raise
            outputs = "1 output" if raw.shape[1] == 1 else f"{raw.shape[1]} outputs"
            yield (
                f"{where}: must return a distribution, but {raised(error)}; raw has {outputs} a place; write `numbers` "
                "if you need more"
            )
            return
        shapes = (tuple(p.batch_shape), tuple(p.event_shape)) if isinstance(p, Distribution) else None
        if shapes not in ((batch, ()), ((rows,), form.places)):
            actual = type(p).__name__ if shapes is None else f"{shapes[0]} and {shapes[1]}"
            yield (
                f"{where}: must return a Distribution with batch {batch} and event (), or ({rows},) and {form.places}, "
                f"but got {actual}; make raw (N, numbers, *places) its parameters, by raw.unbind(1)"
            )
            return
        x = values_of(form, rows)
        log_prob = p.log_prob(x)
        if log_prob.shape != p.batch_shape:
            yield (
                f"{where}: log_prob must have the batch shape {tuple(p.batch_shape)}, but got {shape(log_prob)}; "
                "correct it"
            )
            return
        if not finite(log_prob):
            place = tuple(log_prob.isfinite().logical_not().nonzero()[0].tolist())
            yield (
                f"{where}: log_prob must be finite for every value of its support, but is {float(log_prob[place])} at "
                f"{quote(x[place].tolist())}; correct it"
            )
            return  # before a draw: rejection sampling with NaN parameters would never end
        draws = p.sample((3,))
        if tuple(draws.shape) != (3, *batch):
            yield f"{where}: sample((3,)) must have shape {(3, *batch)}, but got {shape(draws)}; use sample_shape"
        subject.head(form)(torch.full_like(subject.raw(form), torch.nan))  # training reports NaN once it has the loss


def rows_stand_alone(subject: Subject) -> Iterator[str]:
    """Each row of raw gives its own row of the distribution, whatever the others are."""
    for form in subject.forms:
        head, raw, x = subject.head(form), subject.raw(form), values_of(form, ROWS)
        with torch.no_grad():
            whole = head(raw).log_prob(x)
            flipped, alone = head(raw.flip(0)).log_prob(x.flip(0)), head(raw[:1]).log_prob(x[:1])
        if not close(flipped.flip(0), whole) or not close(alone, whole[:1]):
            yield f"head({called(form)}): a row must depend on its own raw alone, but does not; use no other rows"


def distributions_stay_finite(subject: Subject) -> Iterator[str]:
    """log_prob, its gradients, mean and variance are finite for every finite raw, such as of size 1e4."""
    for form in subject.forms:
        for size in _SIZES:
            head, raw = subject.head(form), subject.raw(form, size=size).requires_grad_()
            p, x = head(raw), values_of(form, ROWS)
            log_prob = p.log_prob(x)
            log_prob.sum().backward()
            slopes = [raw.grad, *(parameter.grad for parameter in head.parameters())]
            parts = {
                "log_prob": finite(log_prob),
                "the gradient of log_prob": all(finite(slope) for slope in slopes if slope is not None),
            }
            if form.support != "classes":  # an index has no mean
                parts |= {"mean": finite(p.mean), "variance": finite(p.variance) and bool((p.variance >= 0).all())}
            if broken := [part for part, is_finite in parts.items() if not is_finite]:
                yield (
                    f"head({called(form)}): must stay finite for every raw, but {' and '.join(broken)} did not for raw "
                    f"of size {size:g}; bound the parameters, for example by softplus instead of exp"
                )
                break


def everything_learns(subject: Subject) -> Iterator[str]:
    """Every output of a network and every parameter of a head gets a gradient from log_prob."""
    for form in subject.forms:
        where, head = f"head({called(form)})", subject.head(form)
        raw, x = subject.raw(form).requires_grad_(), values_of(form, ROWS)
        if next(head.parameters(), None) is not None:
            yield from gradient_faults(where, head, partial(_weighted, raw, x))
        else:
            _weighted(raw, x, head).backward()
        idle = [n for n in range(raw.shape[1]) if raw.grad is None or not raw.grad[:, n].any()]
        if isinstance(form, Tokens) and form.START in idle:
            idle.remove(form.START)  # no text has it
        if idle:
            yield (
                f"{where}: every output must get a gradient, but those at {', '.join(map(str, idle))} of "
                f"{raw.shape[1]} got none; use them, or ask for fewer in `numbers`"
            )


def _weighted(raw: Tensor, x: Tensor, head: nn.Module) -> Tensor:
    log_prob: Tensor = head(raw).log_prob(x)
    return (log_prob * torch.rand(log_prob.shape)).sum()


def precision_is_high(subject: Subject) -> Iterator[str]:
    """In float64, log_prob is float64 and accurate; under half precision it is float32 or better."""
    for form in subject.forms:
        where, x, raw = f"head({called(form)})", values_of(form, ROWS), subject.raw(form)
        head = subject.head(form).double()
        with torch.no_grad():
            exact, single = head(raw.double()).log_prob(double(x)), subject.head(form)(raw).log_prob(x)
            low, rounded = (subject.head(form)(half).log_prob(x) for half in (raw.bfloat16(), raw.bfloat16().float()))
        if exact.dtype != torch.float64 or not close(exact, single, 1e-3):
            yield (
                f"{where}: log_prob must be float64 if raw is, and the same as in float32, but is {exact.dtype}, or "
                "differs; compute in the type of raw"
            )
        if low.dtype not in (torch.float32, torch.float64) or not close(low, rounded, 1e-3):
            yield (
                f"{where}: densities must be computed in float32 or better if raw is bfloat16, but are not; use "
                "mmtoolkit.at_least_float32"
            )
        yield from _slope_faults(where, head, raw.double(), double(x))


def _slope_faults(where: str, head: nn.Module, raw: Tensor, x: Tensor) -> Iterator[str]:
    """A sentence if the gradient at raw is not that of finite differences."""
    towards = torch.randn(raw.shape, generator=torch.Generator().manual_seed(5), dtype=raw.dtype)
    with torch.no_grad():
        ahead, behind = (head(raw + step * towards).log_prob(x).flatten() for step in (1e-5, -1e-5))
    raw = raw.clone().requires_grad_()
    log_prob = head(raw).log_prob(x)
    (slope,) = torch.autograd.grad(log_prob.sum(), raw)
    exact = (slope * towards).sum(1) if log_prob.shape[1:] == raw.shape[2:] else (slope * towards).flatten(1).sum(1)
    measured = (ahead - behind) / 2e-5
    right = (exact.flatten() - measured).abs() <= 1e-4 * (1 + measured.abs())
    if right.double().mean() < 0.7:  # a few places may lie at a kink
        yield (
            f"{where}: the gradient of log_prob at raw must equal finite differences, but does not; do not cast raw "
            "to float32, and do not round or detach anything that depends on it"
        )


def values_are_read(subject: Subject) -> Iterator[str]:
    """`read` maps values of the support to finite numbers, each on its own."""
    for form in subject.forms:
        if isinstance(form, Tokens) or form.support == "classes":
            continue
        x = values_of(form, ROWS)
        read = subject.likelihood.read(x)
        if read.shape != x.shape or not finite(read):
            yield (
                f"read: must return finite numbers {shape(x)} for {called(form)}, but got {shape(read)}, or numbers "
                "that are not finite; keep it finite on the whole support"
            )
        elif not close(subject.likelihood.read(x[:1]), read[:1]) or read.dtype != x.dtype:
            yield "read: must be elementwise and keep the type of x, but is not; use functions of each number alone"


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged, and heads built from them load what was learned."""
    yield from round_trip(subject.likelihood)
    again = Subject(read_back(subject.likelihood), subject.forms)
    for form in subject.forms:
        saved, new = subject.head(form), again.head(form, seed=9)
        with torch.no_grad():
            for parameter in saved.parameters():
                parameter.add_(0.1)
            new.load_state_dict(saved.state_dict())
            raw, x = subject.raw(form), values_of(form, ROWS)
            if not torch.equal(saved(raw).log_prob(x), new(raw).log_prob(x)):
                yield (
                    f"head({called(form)}): must have the same density after its state is loaded, but has not; keep "
                    "what it learns in parameters or buffers"
                )


REQUIRED = (forms_fit, heads_return_distributions)
CHECKS = (
    forms_fit,
    heads_return_distributions,
    rows_stand_alone,
    distributions_stay_finite,
    everything_learns,
    precision_is_high,
    values_are_read,
    options_come_back,
)
