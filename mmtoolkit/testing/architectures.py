"""Checks of an architecture: the networks that it builds for small forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, constraints

from mmtoolkit.components import Architecture, Form, Likelihood, Tokens, Writer
from mmtoolkit.components.support import Support
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.testing.forms import called, forms_read, inputs_of, values_of
from mmtoolkit.testing.promises import (
    close,
    double,
    finite,
    gradient_faults,
    networks_of,
    read_back,
    round_trip,
    shape,
)

ROWS, WIDTH, SIZE, EXTRA = 5, 6, 4, 3


class Subject:
    """An architecture under test, and forms that it reads.

    Args:
        architecture: any one, small and quick.
        forms: by default small ones of the types that ship with mmtoolkit.
    """

    def __init__(self, architecture: Architecture, forms: Sequence[Form] | None = None) -> None:
        self.architecture = architecture
        self._forms = forms

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms to try."""
        return forms_read(self.architecture) if self._forms is None else tuple(self._forms)

    @property
    def writes(self) -> bool:
        """Whether it has decoders of its own, and needs no `raw`."""
        return type(self.architecture).decoder is not Architecture.decoder

    def calls(self) -> Iterator[Call]:
        """All networks to try."""
        for form in self.forms:
            yield from self.calls_of(form)

    def calls_of(self, form: Form) -> Iterator[Call]:
        """The networks for a form."""
        ours, x = self.architecture, inputs_of(form, ROWS)
        generator = torch.Generator().manual_seed(2)
        c, z = torch.randn(ROWS, EXTRA, generator=generator), torch.randn(ROWS, SIZE, generator=generator)
        name, features = called(form), (WIDTH,)
        yield Call(f"encoder({name}, width)", partial(ours.encoder, form, WIDTH), (x,), features)
        yield Call(
            f"encoder({name}, width, extra={EXTRA})", partial(ours.encoder, form, WIDTH, EXTRA), (x, c), features
        )
        yield Call(f"branch({name}, width)", partial(ours.branch, form, WIDTH), (x,), features)
        for numbers in (1, 2):
            where, make = f"raw({name}, size, {numbers})", partial(ours.raw, form, SIZE, numbers)
            if not (self.writes and _is_absent(make)):
                yield Call(where, make, (z,), (numbers, *form.places))
        value = values_of(form, ROWS)
        make = partial(ours.decoder, form, SIZE, Plain())
        yield Call(f"decoder({name}, size, likelihood)", make, (z,), None, value)


def _is_absent(make: Callable[[], nn.Module]) -> bool:
    """Whether a method says that there is no such network."""
    try:
        make()
    except NotImplementedError:
        return True
    return False


@dataclass(frozen=True)
class Call:
    """A network that an architecture builds, with inputs.

    Attributes:
        where: the call that builds it, for a sentence.
        make: the call itself.
        inputs: what the network reads, (N, ...) each.
        row: the shape of what it returns for a row; None if it returns a distribution.
        value: what the distribution scores, (N, *places); None if there is none.
    """

    where: str
    make: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    row: tuple[int, ...] | None
    value: Tensor | None = None

    def network(self, seed: int = 0) -> nn.Module:
        """In evaluation mode, with the same weights for the same seed."""
        return networks_of(self.make, seed)

    def out(self, network: nn.Module, rows: Any = slice(None), change: Callable[[Tensor], Tensor] = double) -> Tensor:
        """What a network returns for some rows; of a distribution, the log-probability of each row's value."""
        out = network(*(change(x[rows]) for x in self.inputs))
        if self.value is None:
            tensor: Tensor = out
            return tensor
        value = change(self.value[rows])
        return out.log_prob(value).reshape(len(value), -1).sum(1)  # type: ignore[no-any-return]

    def loss(self, network: nn.Module) -> Tensor:
        """A sum with random weights, in float32."""
        out = self.out(network, change=_same)
        return (out * torch.rand(out.shape)).sum()


def _same(x: Tensor) -> Tensor:
    return x


def forms_fit(subject: Subject) -> Iterator[str]:
    """`misfit` is None for forms that it has networks for, and these are in `reads`."""
    type(subject.architecture).check_class()
    if not subject.forms:
        raise ValueError(
            f"{subject.architecture.kind} fits no form that the kit knows; pass forms, or correct reads and misfit"
        )
    for form in subject.forms:
        if not isinstance(form, subject.architecture.reads):
            yield f"reads: must have {type(form).__name__}, as {called(form)} was passed, but has not; add it"
        if (misfit := subject.architecture.misfit(form)) is not None:
            yield f"misfit: must be None for {called(form)}, but is {misfit!r}; correct it, or pass other forms"


def networks_have_shapes(subject: Subject) -> Iterator[str]:
    """Networks return finite features (N, width), raw (N, numbers, *places) and distributions over all places."""
    for call in subject.calls():
        network = call.network()
        with torch.no_grad():
            out = network(*call.inputs)
        if call.row is None:
            yield from _distribution_faults(call, out)
        elif not isinstance(out, Tensor) or tuple(out.shape) != (ROWS, *call.row):
            yield f"{call.where}: must return {(ROWS, *call.row)}, but got {shape(out)}; correct the last layer"
        elif not finite(out):
            yield f"{call.where}: must return finite numbers, but got NaN or infinity; scale its input"


def _distribution_faults(call: Call, p: Any) -> Iterator[str]:
    assert call.value is not None
    places = call.value.shape[1:]
    shapes = (p.batch_shape, p.event_shape) if isinstance(p, Distribution) else None
    if shapes not in (((ROWS, *places), ()), ((ROWS,), places)):
        actual = type(p).__name__ if shapes is None else f"{tuple(shapes[0])} and {tuple(shapes[1])}"
        yield (
            f"{call.where}: must return the distribution of the likelihood, batch {(ROWS, *places)}, but got {actual}; "
            "return what likelihood.head(form) or likelihood.written returns"
        )


def rows_stand_alone(subject: Subject) -> Iterator[str]:
    """In evaluation mode each row is read on its own, and no input is changed."""
    for call in subject.calls():
        network, before = call.network(), [x.clone() for x in call.inputs]
        with torch.no_grad():
            whole = call.out(network, change=_same)
            flipped = call.out(network, torch.arange(ROWS).flip(0), _same).flip(0)
            alone = call.out(network, slice(0, 1), _same)
        if not close(flipped, whole) or not close(alone, whole[:1]):
            yield f"{call.where}: must read each row on its own in evaluation mode, but does not; use no other rows"
        if not all(map(torch.equal, before, call.inputs)):
            yield f"{call.where}: must leave its input as it is, but changed it; use no function that ends in _"


def any_number_of_rows_trains(subject: Subject) -> Iterator[str]:
    """In training mode networks read one row, or more, and return finite numbers."""
    for call in subject.calls():
        for rows in (1, 2):
            network = call.network()
            guard_normalisation(network)
            out = call.out(network.train(), slice(0, rows), _same)
            if len(out) != rows or not finite(out):
                yield f"{call.where}: must train on {rows} rows, but got {shape(out)}, or numbers that are not finite"


def everything_learns(subject: Subject) -> Iterator[str]:
    """All parameters of each network get a finite gradient, and so does what is no index."""
    for call in subject.calls():
        yield from gradient_faults(call.where, call.network(), call.loss)
        inputs = tuple(x.clone().requires_grad_(x.is_floating_point()) for x in call.inputs)
        replace(call, inputs=inputs).loss(call.network()).backward()
        if idle := [n for n, x in enumerate(inputs) if x.requires_grad and (x.grad is None or not x.grad.any())]:
            what = "the condition (N, extra)" if idle == [1] else "its input"
            yield f"{call.where}: must read {what}, but it changed nothing; join it to the features (`Conditioned`)"


def weights_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged, and networks built from them load saved weights and return the same."""
    yield from round_trip(subject.architecture)
    again = Subject(read_back(subject.architecture), subject.forms)
    for call, other in zip(subject.calls(), again.calls(), strict=True):
        saved, same, new = call.network(), call.network(), other.network(seed=1)
        if not all(map(torch.equal, saved.state_dict().values(), same.state_dict().values())):
            yield (
                f"{call.where}: must draw weights only from PyTorch's default generator, but the same seed gave other "
                "weights; use no other randomness"
            )
        new.load_state_dict(saved.state_dict())
        with torch.no_grad():
            if not torch.equal(call.out(saved, change=_same), call.out(new, change=_same)):
                yield (
                    f"{call.where}: must return the same after its weights are loaded, but does not; register its "
                    "other state as buffers, or make it options"
                )


def precision_is_kept(subject: Subject) -> Iterator[str]:
    """Networks in float64 return float64, the same as in float32, and run under autocast to half precision."""
    for call in subject.calls():
        with torch.no_grad():
            exact, single = call.out(call.network().double()), call.out(call.network(), change=_same)
            with torch.autocast("cpu", torch.bfloat16):
                low = call.out(call.network(), change=_same)
        if exact.dtype != torch.float64 or not close(exact, single, 1e-3):
            yield (
                f"{call.where}: must return float64 if its weights and input are, and the same as in float32, but got "
                f"{exact.dtype}, or other numbers; do not cast to float32"
            )
        if not finite(low):
            yield f"{call.where}: must return finite numbers under autocast, but does not; keep numbers in range"


def writers_write_on(subject: Subject) -> Iterator[str]:
    """A writer gives logits (N, T, V), the same symbol by symbol as at once, whatever symbols come later."""
    for form in (form for form in subject.forms if isinstance(form, Tokens)):
        plain = Plain()
        decoder = networks_of(partial(subject.architecture.decoder, form, SIZE, plain))
        z = torch.randn(ROWS, SIZE, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            p = decoder(z)
            if not isinstance(p, WrittenText):
                continue
            before = p.before(values_of(form, ROWS))
            whole, _ = p.writer.logits(before, z)
            expected = (ROWS, form.length, form.vocabulary)
            if tuple(whole.shape) != expected:
                yield f"logits: must be (N, T, V), {expected}, but got {shape(whole)}; correct the last layer"
                continue
            later = before.clone()
            later[:, -1] = form.START
            if not close(p.writer.logits(later, z)[0][:, :-1], whole[:, :-1]):
                yield "logits: must depend on no later symbol, but do; mask what comes after each place"
            steps, state = [], None
            for place in range(form.length):
                step, state = p.writer.logits(before[:, place : place + 1], z, state)
                steps.append(step)
        if not close(torch.cat(steps, 1), whole):
            yield (
                "logits: must be the same symbol by symbol, from the state after those before, as at once, but differ; "
                "keep in the state all that later symbols depend on"
            )


# The likelihood that decoders are tried with.


class Plain(Likelihood):
    """Normal numbers, with location and scale from the network; classes; texts, symbol by symbol or at once."""

    kind: Literal["plain"] = "plain"
    scores: ClassVar[tuple[type[Form], ...]] = (Form,)
    support: ClassVar[Support] = "real"
    writes: ClassVar[bool] = True

    def misfit(self, form: Form) -> str | None:
        """None: it takes any form."""
        return None

    def numbers(self, form: Form) -> int:
        """Logits, or location and scale."""
        count = getattr(form, "vocabulary", getattr(form, "count", 2))
        return int(count) if form.support == "classes" else 2

    def head(self, form: Form) -> nn.Module:
        """From raw (N, numbers, *places)."""
        return _PlainHead(form.support == "classes")

    def written(self, writer: Writer, z: Tensor) -> Distribution:
        """A text, all of whose symbols count."""
        return WrittenText(writer, z)


class _PlainHead(nn.Module):
    def __init__(self, indices: bool) -> None:
        super().__init__()
        self.indices = indices

    def forward(self, raw: Tensor) -> Distribution:
        if self.indices:
            return distributions.Categorical(logits=raw.movedim(1, -1), validate_args=False)
        location, scale = raw.unbind(1)
        return distributions.Normal(location, F.softplus(scale) + 0.1, validate_args=False)


class WrittenText(Distribution):
    """Texts that a writer writes, with batch (N,) and event (L,).

    Args:
        writer: gives the next symbol.
        z: (N, size).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012

    def __init__(self, writer: Writer, z: Tensor) -> None:
        self.writer, self.z = writer, z
        super().__init__(z.shape[:1], torch.Size(writer.form.places), validate_args=False)

    def before(self, value: Tensor) -> Tensor:
        """The symbol before each place of texts (N, L)."""
        return F.pad(value[:, :-1], (1, 0), value=Tokens.START)

    def log_prob(self, value: Tensor) -> Tensor:
        """That of texts (N, L), of which every symbol counts: (N,)."""
        logits, _ = self.writer.logits(self.before(value), self.z)
        return logits.log_softmax(-1).gather(-1, value.unsqueeze(-1)).squeeze(-1).sum(1)


REQUIRED = (forms_fit, networks_have_shapes)
CHECKS = (
    forms_fit,
    networks_have_shapes,
    rows_stand_alone,
    any_number_of_rows_trains,
    everything_learns,
    weights_come_back,
    precision_is_kept,
    writers_write_on,
)
