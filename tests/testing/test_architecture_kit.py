"""The kit's checks of architectures: ours keep every promise, and each broken one is named with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from facts import assert_facts
from mmt_image import DCGAN
from mmtoolkit import MLP, Architecture, Classes, Conditioned, Form, Likelihood, Numbers, Support, Tokens, Writer
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.testing import check_architecture, examine
from mmtoolkit.testing.examples import try_examples
from mmtoolkit.testing.masses import SumWriter


class Own(Architecture):
    """One layer each, or other networks where a test breaks them."""

    kind: Literal["own"] = "own"
    reads: ClassVar[tuple[type[Form], ...]] = (Numbers,)

    def first(self, form: Form) -> nn.Module:
        return nn.Identity()

    def last(self, features: int, width: int) -> nn.Module:
        return nn.Linear(features, width)

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        return Conditioned(self.first(form), self.last(form.shape[0] + extra, width))

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        places = (numbers, *form.places)
        return nn.Sequential(self.last(size, numbers * form.places[0]), nn.Unflatten(1, places))


def own(**attributes: Any) -> Architecture:
    """An `Own` with other attributes."""
    made: Architecture = type("Changed", (Own,), {"__module__": __name__, "__annotations__": {}, **attributes})()
    return made


class Changed(nn.Linear):
    """A layer with something done to its output, or to its input."""

    def __init__(self, before: int, after: int, change: Callable[[Tensor], Tensor], early: bool = False) -> None:
        super().__init__(before, after)
        self.change, self.early = change, early

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.change(x)) if self.early else self.change(super().forward(x))


def changed(change: Callable[[Tensor], Tensor], early: bool = False) -> Architecture:
    """Layers with something done to their output, or to their input."""
    return own(last=lambda self, before, after: Changed(before, after, change, early))


class Noisy(nn.Linear):
    """A layer whose output depends on a number that is drawn anew and not saved."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.factor = float(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * super().forward(x)


class Idle(nn.Linear):
    """A layer with a parameter that is not used."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.idle = nn.Parameter(torch.zeros(2))


class Deaf(nn.Module):
    """Reads x, and no condition."""

    def __init__(self, form: Form, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(form.shape[0], width)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class Forgetful(Noisy):
    """A layer that draws weights from a generator of its own."""

    def __init__(self, before: int, after: int) -> None:
        nn.Linear.__init__(self, before, after)
        self.factor = 1.0
        with torch.no_grad():
            self.bias.copy_(torch.randn(after, generator=_GENERATOR))


_GENERATOR = torch.Generator().manual_seed(0)


def in_place(x: Tensor) -> Tensor:
    return x.detach().mul_(2) if not x.requires_grad else x * 2


BROKEN: dict[str, tuple[Callable[[], Architecture], tuple[str, ...]]] = {
    "a width of its own": (
        lambda: own(encoder=lambda self, form, width, extra=0: Conditioned(nn.Identity(), nn.Linear(3, 7))),
        ("encoder(Numbers(size=3), width)", "(5, 6)", "(5, 7)", "last layer"),
    ),
    "raw without places": (
        lambda: own(raw=lambda self, form, size, numbers: nn.Linear(size, numbers * form.places[0])),
        ("raw(Numbers(size=3), size, 2)", "(5, 2, 3)", "(5, 6)", "last layer"),
    ),
    "no condition": (
        lambda: own(encoder=lambda self, form, width, extra=0: Deaf(form, width)),
        ("extra=3", "must read the condition", "Conditioned"),
    ),
    "an extra that is not taken": (
        lambda: own(encoder=lambda self, form, width, extra=0: nn.Linear(form.shape[0], width)),
        ("raised", "TypeError", "with extra > 0 an encoder takes (x, condition)"),
    ),
    "rows that see others": (lambda: changed(lambda x: x - x.mean(0)), ("each row on its own", "no other rows")),
    "one row cannot train": (
        lambda: changed(lambda x: x / (len(x) - 1) if torch.is_grad_enabled() and len(x) < 3 else x),
        ("must train on 1 rows", "not finite"),
    ),
    "a parameter that is not used": (
        lambda: own(last=lambda self, before, after: Idle(before, after)),
        ("every parameter", "idle", "use or remove it"),
    ),
    "an input that is cut off": (lambda: changed(torch.detach, early=True), ("must read its input", "nothing")),
    "single precision": (lambda: changed(torch.Tensor.float), ("float64", "do not cast")),
    "state that is not saved": (
        lambda: own(last=lambda self, before, after: Noisy(before, after)),
        ("after its weights are loaded", "buffers"),
    ),
    "a generator of its own": (
        lambda: own(last=lambda self, before, after: Forgetful(before, after)),
        ("default generator", "other randomness"),
    ),
    "an input that is changed": (lambda: changed(in_place, early=True), ("leave its input", "ends in _")),
    "infinite features": (lambda: changed(lambda x: x / 0), ("finite numbers", "scale its input")),
    "a misfit with what it reads": (lambda: own(misfit=lambda self, form: "no"), ("misfit", "'no'", "other forms")),
    "no distribution": (
        lambda: own(decoder=lambda self, form, size, likelihood: self.raw(form, size, 2)),
        ("decoder", "Tensor", "likelihood.head(form)"),
    ),
}


def assert_line(call: Callable[[], None], facts: tuple[str, ...]) -> None:
    """One line of the faults has all facts."""
    with pytest.raises(AssertionError) as raised:
        call()
    lines = str(raised.value).splitlines()
    for line in lines:
        try:
            assert_facts(line, *facts)
        except AssertionError:
            continue
        return
    pytest.fail(f"no line has {facts}: {lines}")


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_architecture(case: str) -> None:
    make, facts = BROKEN[case]
    assert_line(lambda: check_architecture(make(), [Numbers(3)]), facts)


def test_a_good_one_keeps_every_promise() -> None:
    check_architecture(own())


def test_promises_are_listed() -> None:
    outcomes = list(examine(own()))
    assert len(outcomes) == 9
    assert not [outcome for outcome in outcomes if outcome.faults]
    assert any("(N, width)" in outcome.promise for outcome in outcomes)


class Embedding(Own):
    """Reads texts by the embeddings of their symbols."""

    reads: ClassVar[tuple[type[Form], ...]] = (Tokens,)

    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        assert isinstance(form, Tokens)
        first = nn.Sequential(nn.Embedding(form.vocabulary, 4), nn.Flatten())
        return Conditioned(first, nn.Linear(4 * form.length + extra, width))


def test_classes_and_texts_get_indices() -> None:
    class Linear(Own):
        reads: ClassVar[tuple[type[Form], ...]] = (Classes, Tokens)

        def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
            return nn.Linear(5, width)  # takes floats

    for form in (Classes(3), Tokens(6, 5)):
        assert_line(lambda form=form: check_architecture(Linear(), [form]), ("raised", "RuntimeError"))  # type: ignore[misc]
    check_architecture(MLP(width=8, depth=1), [Classes(3)])
    check_architecture(Embedding(), [Tokens(6, 5)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(example, id=f"{kind}-{place}")
        for kind, cls in load_plugins().of_family("architecture").items()
        for place, example in enumerate(cls.examples())
    ],
)
def test_every_architecture(architecture: Architecture) -> None:
    check_architecture(architecture)


@pytest.mark.slow
def test_convolutions_with_other_options() -> None:
    check_architecture(DCGAN(width=16, channels=4, norm="batch", dropout=0.2))


# Networks that write symbol by symbol.


class Handed(nn.Module):
    """Hands the writer to the likelihood."""

    def __init__(self, writer: nn.Module, likelihood: Likelihood) -> None:
        super().__init__()
        self.writer, self.likelihood = writer, likelihood

    def forward(self, z: Tensor) -> torch.distributions.Distribution:
        writer: Writer = self.writer  # type: ignore[assignment]
        return self.likelihood.written(writer, z)


class OwnWriter(SumWriter):
    """The kit's own, for four latent variables, with weights from the default generator."""

    def __init__(self, form: Tokens) -> None:
        super().__init__(form)
        self.embedding = nn.Embedding(form.vocabulary, form.vocabulary)
        self.dense = nn.Linear(4, form.vocabulary)


class Ahead(OwnWriter):
    """Reads the symbols after each place too."""

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits, state = super().logits(before, z, state)
        return logits + self.embedding(before).sum(1, keepdim=True), state


class Stateless(OwnWriter):
    """Forgets what came before."""

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().logits(before, z)


class Short(OwnWriter):
    """Gives the last symbol's logits alone."""

    def logits(self, before: Tensor, z: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits, state = super().logits(before, z, state)
        return logits[:, :1] + 0 * logits.sum(), state


class Autoregressive(Embedding):
    """A writer writes."""

    writer: ClassVar[type[OwnWriter]] = OwnWriter

    def raw(self, form: Form, size: int, numbers: int) -> nn.Module:
        raise NotImplementedError

    def decoder(self, form: Form, size: int, likelihood: Likelihood) -> nn.Module:
        assert isinstance(form, Tokens)
        return Handed(self.writer(form), likelihood)


def writing(writer: type[OwnWriter]) -> Architecture:
    attributes = {"__module__": __name__, "__annotations__": {}, "writer": writer}
    made: Architecture = type("Changed", (Autoregressive,), attributes)()
    return made


def test_a_good_writer() -> None:
    check_architecture(writing(OwnWriter))


@pytest.mark.parametrize(
    ("writer", "facts"),
    [
        (Ahead, ("logits", "no later symbol", "mask")),
        (Stateless, ("logits", "symbol by symbol", "state")),
        (Short, ("logits", "(5, 5, 6)", "(5, 1, 6)")),
    ],
)
def test_a_broken_writer(writer: type[OwnWriter], facts: tuple[str, ...]) -> None:
    assert_line(lambda: check_architecture(writing(writer)), facts)


# Forms of a plugin.


@dataclass(frozen=True)
class Angles(Form):
    """Some angles."""

    name: ClassVar[str] = "angles"
    support: Support = "real"
    count: int = 2

    @property
    def places(self) -> tuple[int, ...]:
        return (self.count,)


def test_an_own_form_is_passed() -> None:
    class OfAngles(Own):
        reads: ClassVar[tuple[type[Form], ...]] = (Angles,)

    check_architecture(OfAngles(), [Angles(), Angles(count=1)])
    assert_line(lambda: check_architecture(OfAngles()), ("no form that the kit knows", "pass forms"))
    assert_line(lambda: check_architecture(own(), [Angles()]), ("reads", "Angles", "add it"))
    (trial,) = try_examples(OfAngles)
    assert_facts(trial.untried, "forms", "check_architecture")
