"""Checks of a prior."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, distributions

from mmtoolkit.components import Prior
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.core.prior import PriorModule
from mmtoolkit.testing.promises import close, finite, gradient_faults, read_back, round_trip, shape

SIZE = 2
ROWS = 5
_DRAWS = 20_000
_PLACES = 6
_ERRORS = 6.0
_SLACK = 2e-3


class Subject:
    """A prior under test.

    Args:
        prior: any one.
    """

    def __init__(self, prior: Prior) -> None:
        self.prior = prior

    def module(self, seed: int = 0) -> PriorModule:
        """It over two latent variables, in float32, with the same start for the same seed."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return self.prior.build(SIZE)


def noise_of(*leading: int, seed: int = 1) -> Tensor:
    """Standard normal (..., D)."""
    return torch.randn(*leading, SIZE, generator=torch.Generator().manual_seed(seed))


def prior_is_built(subject: Subject) -> Iterator[str]:
    """`build` returns a PriorModule over D latent variables, the same for the same seed."""
    module, again = subject.module(), subject.module()
    if not isinstance(module, PriorModule):
        raise TypeError(f"build returns {type(module).__name__}, which is no mmtoolkit.PriorModule")
    if module.latent_dim != SIZE:
        yield f"build: its module must have latent_dim {SIZE}, but has {module.latent_dim}; pass it to PriorModule"
    if not all(map(torch.equal, module.state_dict().values(), again.state_dict().values())):
        yield (
            "build: must draw only from PyTorch's default generator, but the same seed gave another start; use no "
            "other randomness"
        )


def options_come_back(subject: Subject) -> Iterator[str]:
    """Options survive JSON unchanged, and what was learned can be loaded."""
    yield from round_trip(subject.prior)
    saved, new = subject.module(), Subject(read_back(subject.prior)).module(seed=9)
    new.load_state_dict(saved.state_dict())
    z = noise_of(ROWS)
    with torch.no_grad():
        if not torch.equal(new.log_prob(z), saved.log_prob(z)):
            yield "build: modules with the same state must have the same density, but differ; keep state in buffers"


def numbers_have_shapes(subject: Subject) -> Iterator[str]:
    """`log_prob`, `sample`, `mean`, `variance` and `kl` are finite and have their shapes."""
    module, noise = subject.module(), noise_of(3, ROWS)
    q = Gaussian(noise[0], noise[1])
    with torch.no_grad():
        answers = {
            "sample(noise (3, B, D))": (module.sample(noise), (3, ROWS, SIZE)),
            "sample(noise (D,))": (module.sample(noise[0, 0]), (SIZE,)),
            "log_prob(z (3, B, D))": (module.log_prob(noise), (3, ROWS)),
            "log_prob(z (D,))": (module.log_prob(noise[0, 0]), ()),
            "log_prob of z far out": (module.log_prob(30 * torch.ones(ROWS, SIZE)), (ROWS,)),
            "mean": (module.mean, (SIZE,)),
            "variance": (module.variance, (SIZE,)),
            "kl(q, noise (B, D))": (module.kl(q, noise[2]), (ROWS,)),
            "kl(q, noise (3, B, D))": (module.kl(q, noise), (ROWS,)),
            "kl of no row": (module.kl(Gaussian(noise[0, :0], noise[1, :0]), noise[2, :0]), (0,)),
        }
        for what, (value, expected) in answers.items():
            if tuple(value.shape) != expected or not finite(value):
                yield (
                    f"{what}: must be finite with shape {expected}, but got {shape(value)}, or numbers that are not "
                    "finite; correct it"
                )
        if not (module.variance > 0).all():
            yield "variance: must be positive, but got zero or less; bound it from below"


def draws_depend_on_their_noise(subject: Subject) -> Iterator[str]:
    """A draw is a function of its own noise: of no other draw, and of no generator."""
    module, noise = subject.module(), noise_of(3, ROWS)
    with torch.no_grad():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        z = module.sample(noise)
        if not torch.equal(torch.get_rng_state(), before) or not torch.equal(module.sample(noise), z):
            yield "sample: must draw from its noise alone, but drew from a generator too; make all draws from `noise`"
        if not close(module.sample(noise[1, 2]), z[1, 2]):
            yield (
                "sample: a draw must depend only on its own D numbers, but changed with the noise of other draws; use "
                "noise (..., D) row by row"
            )


def draws_have_the_density(subject: Subject) -> Iterator[str]:
    """`log_prob` integrates to one, and `sample`, `mean` and `variance` agree with it."""
    module = subject.module().double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        z = module.sample(torch.randn(_DRAWS, SIZE, generator=generator, dtype=torch.float64))
        mean, variance = module.mean, module.variance
        error = z.std(0) / _DRAWS**0.5 + 1e-6
        fixed = error  # moments may be those of fixed draws, with an error of their own
        if ((z.mean(0) - mean).abs() / (error + 3 * fixed)).max() > _ERRORS:
            yield "mean: must be that of the draws, but is not; make mean and sample agree"
        squares = (z - z.mean(0)).square()
        if ((squares.mean(0) - variance).abs() / (4 * squares.std(0) / _DRAWS**0.5 + 1e-6)).max() > _ERRORS:
            yield "variance: must be that of the draws, but is not; make variance and sample agree"
        # Heavy tails, so that the weights of any prior are bounded in practice.
        proposal = distributions.StudentT(3.0, mean, 1.5 * variance.sqrt())
        wide = mean + 1.5 * variance.sqrt() * _student(3, _DRAWS, generator)
        weights = (module.log_prob(wide) - proposal.log_prob(wide).sum(-1)).exp()
        if (weights.mean() - 1).abs() > _ERRORS * weights.std() / _DRAWS**0.5 + _SLACK:
            yield (
                f"log_prob: must be a density that integrates to one, but integrates to {weights.mean():.3g}; add the "
                "term that it omits"
            )
        for place in z[:_PLACES]:  # how much lies around some draws, by both
            near = [(-(x - place).square() / variance).sum(-1).exp() for x in (z, wide)]
            by_draws, by_density = near[0], near[1] * weights
            error = (by_draws.var() + by_density.var()).sqrt() / _DRAWS**0.5
            if (by_draws.mean() - by_density.mean()).abs() > _ERRORS * error + _SLACK:
                yield (
                    "sample: draws must have the density log_prob, but more or fewer of them lie in some places; make "
                    "sample and log_prob agree"
                )
                return


def _student(degrees: int, count: int, generator: torch.Generator) -> Tensor:
    """Draws of Student's t: (count, D)."""
    normal = torch.randn(count, SIZE, degrees + 1, generator=generator, dtype=torch.float64)
    return normal[..., 0] / normal[..., 1:].square().mean(-1).sqrt()


def divergence_is_above_the_density(subject: Subject) -> Iterator[str]:
    """`kl(q, noise)` is, on average, the mean of log q - log p over draws of q."""
    module = subject.module().double()
    q = Gaussian(noise_of(ROWS).double(), noise_of(ROWS, seed=5).double() - 1)
    noise = noise_of(2000, ROWS, seed=6).double()
    with torch.no_grad():
        z = q.rsample(noise)
        ratio = q.log_prob(z) - module.log_prob(z)
        error = ratio.std(0) / len(noise) ** 0.5
        if ((module.kl(q, noise) - ratio.mean(0)).abs() > _ERRORS * error + _SLACK).any():
            yield "kl: must be KL(q || p), the mean of log q - log p, but is not; make kl and log_prob agree"


def everything_learns(subject: Subject) -> Iterator[str]:
    """Every parameter gets a finite gradient from `log_prob`, and so does z."""
    module = subject.module()
    if next(module.parameters(), None) is not None:
        yield from gradient_faults("log_prob", module, lambda _: module.log_prob(noise_of(50).requires_grad_()).sum())
    z = noise_of(50).requires_grad_()
    module.log_prob(z).sum().backward()
    if z.grad is None or not finite(z.grad):
        yield "log_prob: must have a finite gradient at z, but has none; compute it with differentiable functions"


def precision_is_high(subject: Subject) -> Iterator[str]:
    """In float64 all numbers are float64; under autocast to half precision they are float32."""
    module, noise = subject.module().double(), noise_of(ROWS).double()
    mixed, half = subject.module(), noise_of(ROWS).bfloat16()
    with torch.no_grad():
        numbers = {"sample": module.sample(noise), "log_prob": module.log_prob(noise)}
        numbers |= {"mean": module.mean, "variance": module.variance}
        with torch.autocast("cpu", torch.bfloat16):
            low = mixed.log_prob(half)
    if other := [what for what, value in numbers.items() if value.dtype != torch.float64]:
        yield (
            f"precision: numbers must be float64 if the module is, but {', '.join(other)} is not; make new tensors "
            "with the type of `origin`"
        )
    if low.dtype != torch.float32:
        yield "log_prob: must be float32 under autocast, but is not; use mmtoolkit.at_least_float32"


CHECKS = (
    prior_is_built,
    options_come_back,
    numbers_have_shapes,
    draws_depend_on_their_noise,
    draws_have_the_density,
    divergence_is_above_the_density,
    everything_learns,
    precision_is_high,
)
