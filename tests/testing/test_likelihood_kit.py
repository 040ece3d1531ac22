"""The kit's checks of likelihoods: ours keep every promise, and each broken one is named with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from facts import assert_facts
from mmtoolkit import (
    CategoricalLikelihood,
    Classes,
    Form,
    GaussianLikelihood,
    Likelihood,
    Numbers,
    Support,
    Tokens,
    Writer,
    at_least_float32,
)
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.testing import check_likelihood, examine
from mmtoolkit.testing.architectures import WrittenText
from mmtoolkit.testing.examples import try_examples
from mmtoolkit.testing.heads import Subject
from mmtoolkit.testing.masses import moments_are_those_of_draws
from runs import mmt


class Head(nn.Module):
    """N(raw, exp(log_scale)²), in the unit of the values."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.log_scale = nn.Parameter(torch.zeros(()))

    def base(self, raw: Tensor) -> distributions.Normal:
        raw = at_least_float32(raw.squeeze(1))
        scale = self.log_scale.to(raw.dtype).exp().expand_as(raw)
        return distributions.Normal(raw, scale, validate_args=False)

    def forward(self, raw: Tensor) -> Distribution:
        return self.base(raw)


class Own(Likelihood):
    """A plain Gaussian of single numbers, or one with another head or other methods."""

    kind: Literal["own"] = "own"
    scores: ClassVar[tuple[type[Form], ...]] = (Numbers,)
    module: ClassVar[type[Head]] = Head

    def head(self, form: Form) -> nn.Module:
        return self.module(form)


FORMS = (Numbers(2, shift=(1.0, 2.0), scale=(3.0, 3.0)), Numbers(1))


def own(forward: Callable[[Head, Tensor], Distribution] | None = None, **attributes: Any) -> Likelihood:
    """An `Own` whose head has another `forward`, or which has other attributes."""
    if forward is not None:
        attributes["module"] = type("Other", (Head,), {"forward": forward})
    made: Likelihood = type("Changed", (Own,), {"__module__": __name__, "__annotations__": {}, **attributes})()
    return made


class Shifted(distributions.Normal):
    """Draws a fifth of a standard deviation too high."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        changed: Tensor = super().sample(sample_shape) + 0.2 * self.scale
        return changed


class Unnormalised(distributions.Normal):
    """Twice a density."""

    def log_prob(self, value: Tensor) -> Tensor:
        changed: Tensor = super().log_prob(value) + 0.7
        return changed


def exponential(head: Head, raw: Tensor) -> Distribution:
    p = head.base(raw)
    return distributions.Normal(p.loc.exp(), p.scale, validate_args=False)


class OffMean(distributions.Normal):
    """Says that its mean is 1 higher."""

    @property
    def mean(self) -> Tensor:
        return self.loc + 1


class OffVariance(distributions.Normal):
    """Says that its variance is 17."""

    @property
    def variance(self) -> Tensor:
        return torch.full_like(self.loc, 17.0)


class NotAtZero(distributions.Normal):
    """A density that is infinite at 0."""

    def log_prob(self, value: Tensor) -> Tensor:
        changed: Tensor = super().log_prob(value) - value.log()
        return changed


def in_another_unit(head: Head, raw: Tensor) -> Distribution:
    """The density of standardised values, called that of the values."""
    scale = torch.tensor(head.form.scale or [1.0], dtype=torch.float64).to(raw)

    class Standardised(distributions.Normal):
        def log_prob(self, value: Tensor) -> Tensor:
            changed: Tensor = super().log_prob(value / scale)
            return changed

        def sample(self, sample_shape: Any = ()) -> Tensor:
            changed: Tensor = super().sample(sample_shape) * scale
            return changed

    p = head.base(raw)
    return Standardised(p.loc, p.scale, validate_args=False)


def of_the_batch(head: Head, raw: Tensor) -> Distribution:
    p = head.base(raw)
    return distributions.Normal(p.loc + p.loc.mean(), p.scale, validate_args=False)


def in_float32(head: Head, raw: Tensor) -> Distribution:
    return head.base(raw.float())


def in_half(head: Head, raw: Tensor) -> Distribution:
    p = head.base(raw)
    return distributions.Normal((raw.squeeze(1) / 3).tanh() * 30, p.scale, validate_args=False)


def of_integers(head: Head, raw: Tensor) -> Distribution:
    p = head.base(raw)
    return distributions.Normal(p.loc.round() + p.loc - p.loc.detach(), p.scale, validate_args=False)


BROKEN: dict[str, tuple[Callable[[], Likelihood], tuple[str, ...]]] = {
    "no distribution": (lambda: own(lambda head, raw: raw), ("head", "Distribution", "Tensor", "raw.unbind(1)")),  # type: ignore[arg-type, return-value]
    "no place for the outputs": (
        lambda: own(lambda head, raw: distributions.Normal(raw, 1.0, validate_args=False)),
        ("head", "batch", "(6, 1, 2)", "raw.unbind(1)"),
    ),
    "an exponential link": (lambda: own(exponential), ("stay finite", "10000", "softplus instead of exp")),
    "validation": (
        lambda: own(lambda head, raw: distributions.Normal(head.base(raw).loc, 1.0, validate_args=True)),
        ("raised", "validate_args=False"),
    ),
    "a parameter that does not learn": (
        lambda: own(lambda head, raw: distributions.Normal(raw.squeeze(1), 1.0, validate_args=False)),
        ("every parameter", "log_scale", "use or remove it"),
    ),
    "an output that is not used": (
        lambda: own(lambda head, raw: head.base(raw[:, :1]), numbers=lambda self, form: 2),
        ("every output", "1 of 2", "fewer in `numbers`"),
    ),
    "rows that see others": (lambda: own(of_the_batch), ("row must depend on its own raw", "no other rows")),
    "single precision": (lambda: own(in_float32), ("finite differences", "cast raw to float32")),
    "half precision": (lambda: own(in_half), ("float32 or better", "bfloat16", "at_least_float32")),
    "a location that is rounded": (lambda: own(of_integers), ("finite differences", "do not round")),
    "shifted draws": (
        lambda: own(lambda head, raw: Shifted(head.base(raw).loc, head.base(raw).scale, validate_args=False)),
        ("sample must draw from the distribution of log_prob", "make the two agree"),
    ),
    "another mean": (
        lambda: own(lambda head, raw: OffMean(head.base(raw).loc, head.base(raw).scale, validate_args=False)),
        ("mean must be that of draws", "10000 draws", "make mean and sample agree"),
    ),
    "another variance": (
        lambda: own(lambda head, raw: OffVariance(head.base(raw).loc, head.base(raw).scale, validate_args=False)),
        ("variance must be that of draws", "is 17 where", "make variance and sample agree"),
    ),
    "too few outputs": (
        lambda: own(lambda head, raw: distributions.Normal(raw[:, 0], raw[:, 1], validate_args=False)),
        ("IndexError", "raw has 1 output a place", "write `numbers`"),
    ),
    "no forms": (lambda: own(scores=None), ("does not define scores", "such as scores = (Numbers,)")),
    "a form that is no tuple": (lambda: own(scores=Numbers), ("scores must be a tuple", "it is Numbers")),
    "a support of another name": (lambda: own(support="angle"), ("no support 'angle'", "real, positive", "cyclic")),
    "no density": (
        lambda: own(lambda head, raw: Unnormalised(head.base(raw).loc, head.base(raw).scale, validate_args=False)),
        ("sums to 2.01", "add the term"),
    ),
    "a density in another unit": (lambda: own(in_another_unit), ("of x itself", "sums to 3", "-log of a scale")),
    "draws outside the support": (
        lambda: own(support="positive", read=lambda self, x: x.log()),
        ("draws must be numbers above 0", "correct `support`"),
    ),
    "read that overflows": (
        lambda: own(read=lambda self, x: x.log()),
        ("read", "finite on the whole support"),
    ),
    "no misfits": (lambda: own(misfit=lambda self, form: None), ("misfit", "outside scores", "super().misfit")),
    "misfit with its own": (lambda: own(misfit=lambda self, form: "no"), ("misfit", "None", "'no'", "other forms")),
    "no numbers": (lambda: own(numbers=lambda self, form: 0), ("numbers", "from 1 on", "correct it")),
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
def test_a_broken_likelihood(case: str) -> None:
    make, facts = BROKEN[case]
    likelihood = make()
    forms: tuple[Form, ...] = FORMS
    if likelihood.support == "positive":
        forms = tuple(Numbers(form.size, support="positive") for form in FORMS)
    assert_line(lambda: check_likelihood(likelihood, forms), facts)


@pytest.mark.parametrize("case", ["another mean", "another variance"])
def test_moments_that_are_not_those_of_draws(case: str) -> None:
    make, facts = BROKEN[case]
    subject = Subject(make(), FORMS)
    assert_facts("\n".join(moments_are_those_of_draws(subject)), *facts)


@pytest.mark.parametrize(
    "case", ["too few outputs", "no forms", "a form that is no tuple", "a support of another name"]
)
def test_what_a_likelihood_lacks_is_named_once(case: str) -> None:
    make, facts = BROKEN[case]
    with pytest.raises(AssertionError) as raised:
        check_likelihood(make(), FORMS)
    (line,) = str(raised.value).splitlines()
    assert_facts(line, *facts)


def test_a_fault_of_several_forms_is_one_line_that_names_the_value() -> None:
    def forward(head: Head, raw: Tensor) -> Distribution:
        return NotAtZero(head.base(raw).loc, head.base(raw).scale, validate_args=False)

    likelihood = own(forward, support="unit")
    forms = [Numbers(size, support="unit") for size in (1, 2, 3)]
    with pytest.raises(AssertionError) as raised:
        check_likelihood(likelihood, forms)
    (line,) = str(raised.value).splitlines()
    facts = "head(Numbers(support='unit', size=1)) and 2 more forms: log_prob must be finite"
    assert_facts(line, facts, "is inf at 0.0")


def test_a_good_one_keeps_every_promise() -> None:
    check_likelihood(own(), FORMS)


def test_promises_are_listed() -> None:
    outcomes = list(examine(CategoricalLikelihood()))
    assert len(outcomes) == 14
    assert not [outcome for outcome in outcomes if outcome.faults]
    assert any("sum to one" in outcome.promise for outcome in outcomes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "likelihood",
    [
        pytest.param(example, id=f"{kind}-{place}")
        for kind, cls in load_plugins().of_family("likelihood").items()
        for place, example in enumerate(cls.examples())
    ],
)
def test_every_likelihood(likelihood: Likelihood) -> None:
    check_likelihood(likelihood)


def test_a_scale_for_each_channel() -> None:
    check_likelihood(GaussianLikelihood(scale=(1.0, 2.0)), [Numbers(2, support="whole")])


class Filled(Own):
    """Makes a module where options are made."""

    kind: Literal["filled"] = "filled"  # type: ignore[assignment]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = nn.Linear(1, 1)


def test_modules_among_the_options() -> None:
    (trial,) = try_examples(Filled)
    ((fault,),) = (outcome.faults for outcome in trial.outcomes)
    assert_facts(fault, "frozen", "a component holds options only; make modules in head, encoder or build")


# Texts.


class OfTexts(Likelihood):
    """Texts symbol by symbol: after STOP all is certain."""

    kind: Literal["of_texts"] = "of_texts"
    scores: ClassVar[tuple[type[Form], ...]] = (Tokens,)
    support: ClassVar[Support] = "classes"
    after_stop: ClassVar[bool] = True

    def numbers(self, form: Form) -> int:
        assert isinstance(form, Tokens)
        return form.vocabulary

    def head(self, form: Form) -> nn.Module:
        class OfPlaces(nn.Module):
            def forward(self, raw: Tensor) -> Distribution:
                logits = at_least_float32(raw).movedim(1, -1)
                return distributions.Categorical(logits=logits, validate_args=False)

        return OfPlaces()

    def written(self, writer: Writer, z: Tensor) -> Distribution:
        return CertainAfterStop(writer, z, self.after_stop)


class CertainAfterStop(WrittenText):
    """Texts of which START is never written, and STOP alone after STOP."""

    def __init__(self, writer: Writer, z: Tensor, after_stop: bool) -> None:
        super().__init__(writer, z)
        self.after_stop = after_stop

    def _log_p(self, logits: Tensor, before: Tensor) -> Tensor:
        start = F.one_hot(torch.tensor(Tokens.START), logits.shape[-1]).bool()
        log_p = logits.masked_fill(start, -torch.inf).log_softmax(-1)
        certain = torch.where(F.one_hot(torch.tensor(Tokens.STOP), logits.shape[-1]).bool(), 0.0, -torch.inf)
        return torch.where((before == Tokens.STOP).unsqueeze(-1) & self.after_stop, certain.to(log_p), log_p)

    def log_prob(self, value: Tensor) -> Tensor:
        before = self.before(value)
        log_p = self._log_p(self.writer.logits(before, self.z)[0], before)
        return log_p.gather(-1, value.unsqueeze(-1)).squeeze(-1).sum(1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        before, state = torch.full((len(self.z), 1), Tokens.START), None
        symbols = []
        for _ in range(self.event_shape[0]):
            logits, state = self.writer.logits(before, self.z, state)
            before = torch.distributions.Categorical(logits=self._log_p(logits, before), validate_args=False).sample()
            symbols.append(before)
        return torch.cat(symbols, 1)


def test_texts() -> None:
    check_likelihood(OfTexts(), [Tokens(4, 3)])


def test_texts_that_go_on_after_stop() -> None:
    broken: Likelihood = type("GoOn", (OfTexts,), {"__annotations__": {}, "after_stop": False})()
    assert_line(lambda: check_likelihood(broken, [Tokens(4, 3)]), ("written", "draw texts", "STOP alone"))
    assert_line(lambda: check_likelihood(broken, [Tokens(4, 3)]), ("written", "must sum to one", "no text"))


# Forms of a plugin.


@dataclass(frozen=True)
class Angles(Form):
    """Some angles."""

    name: ClassVar[str] = "angles"
    count: int = 2

    @property
    def places(self) -> tuple[int, ...]:
        return (self.count,)


class OfAngles(Likelihood):
    kind: Literal["of_angles"] = "of_angles"
    scores: ClassVar[tuple[type[Form], ...]] = (Angles,)

    def head(self, form: Form) -> nn.Module:
        return Head(form)


def test_an_own_form_is_passed() -> None:
    check_likelihood(OfAngles(), [Angles(), Angles(1)])
    assert_line(lambda: check_likelihood(OfAngles()), ("no form that the kit knows", "pass forms"))
    (trial,) = try_examples(OfAngles)
    assert_facts(trial.untried, "forms", "check_likelihood")
    assert not list(trial.outcomes)


def test_a_form_that_does_not_fit() -> None:
    assert_line(
        lambda: check_likelihood(CategoricalLikelihood(), [Classes(3), Numbers(2, support="classes")]),
        ("misfit", "Numbers(support='classes', size=2)", "other forms"),
    )


@pytest.mark.slow
def test_plugins_check() -> None:
    ended = mmt("plugins", "check", "ordinal")
    assert ended.status == 0
    assert_facts(ended.out, "likelihood ordinal", "kept", "sum to one")
