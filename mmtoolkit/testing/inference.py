"""What a model promises of inference and of decoding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.testing.models import ROWS, Subject
from mmtoolkit.testing.promises import close, finite, refusal, shape
from mmtoolkit.testing.stand_ins import batch_of

_FEW_ROWS = 3
_DRAWS = 3000
_ERRORS = 6.0


def posteriors_are_posteriors(subject: Subject) -> Iterator[str]:
    """`infer` gives a Posterior of finite (B, D) whose draws, density and divergence agree."""
    network, noise = subject.network(), subject.noise(2)
    size = (ROWS, network.latent_dim)
    with torch.no_grad():
        for given in subject.sets:
            q: Any = network.infer(subject.complete, given)
            said = f"infer(batch, [{', '.join(given)}])"
            if not isinstance(q, Posterior):
                yield (
                    f"{said}: gives a Posterior, but {type(q).__name__} came; write mean, variance, rsample, log_prob "
                    "and kl"
                )
                return
            z = q.rsample(noise)
            shapes = {
                "mean": (q.mean, size),
                "variance": (q.variance, size),
                "rsample(noise (2, B, D))": (z, (2, *size)),
                "rsample(noise (B, D))": (q.rsample(noise[0]), size),
                "log_prob(z (2, B, D))": (q.log_prob(z), (2, ROWS)),
                "kl()": (q.kl(), (ROWS,)),
                "kl(noise)": (q.kl(noise), (ROWS,)),
            }
            for what, (value, promised) in shapes.items():
                if tuple(value.shape) != promised or not finite(value):
                    yield (
                        f"{said}: {what} is finite and of shape {promised}, but {shape(value)} came, or not finite; "
                        "correct it"
                    )
            if not (q.variance > 0).all():
                yield f"{said}: variance is positive, but zero or less came; bound it from below"
            if not close(q.rsample(noise)[1], q.rsample(noise[1])):
                yield (
                    f"{said}: a draw is a function of its own noise, but it changed with that of other draws; use "
                    "noise (..., B, D) elementwise"
                )
            yield from _draws_agree(said, network.infer(subject.complete.take(torch.arange(_FEW_ROWS)), given))


def _draws_agree(said: str, q: Posterior) -> Iterator[str]:
    """Whether moments, log_prob and kl are those of the draws."""
    rows, size = q.mean.shape
    generator = torch.Generator().manual_seed(23)
    noise = torch.randn(_DRAWS, rows, size, generator=generator)
    z = q.rsample(noise).double()
    error = z.std(0) / _DRAWS**0.5 + 1e-6
    if ((z.mean(0) - q.mean).abs() / error).max() > _ERRORS:
        yield f"{said}: mean is that of its draws, but it is not; make mean and rsample agree"
    spread = (z - z.mean(0)).square()
    if ((spread.mean(0) - q.variance).abs() / (spread.std(0) / _DRAWS**0.5 + 1e-6)).max() > _ERRORS:
        yield f"{said}: variance is that of its draws, but it is not; make variance and rsample agree"
    prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    ratio = q.log_prob(z.float()).double() - prior
    if ((ratio.mean(0) - q.kl(noise)).abs() / (ratio.std(0) / _DRAWS**0.5 + 1e-3)).max() > _ERRORS:
        yield (
            f"{said}: kl is the mean of log_prob less that of the prior over its draws, but it is not; make the three "
            "agree"
        )
    wide = q.mean + 2 * q.variance.sqrt() * torch.randn(_DRAWS, rows, size, generator=generator)
    proposal = torch.distributions.Normal(q.mean, 2 * q.variance.sqrt()).log_prob(wide).sum(-1)
    weights = (q.log_prob(wide) - proposal).double().exp()
    if ((weights.mean(0) - 1).abs() / (weights.std(0) / _DRAWS**0.5 + 1e-3)).max() > _ERRORS:
        yield (
            f"{said}: log_prob is a density that sums to one, but it sums to {weights.mean(0).mean():.3g}; add what it "
            "leaves out"
        )


def rows_are_inferred_by_themselves(subject: Subject) -> Iterator[str]:
    """Inferring, decoding, log_prob and bound look at each row by itself, in any order."""
    network, batch, noise = subject.network(), subject.holes, subject.noise()
    calls: dict[str, Callable[[Batch, Tensor], Tensor]] = {
        "infer": lambda b, e: network.infer_all(b).mean,
        "bound": network.bound,
        "log_prob": lambda b, e: sum(network.log_prob(e, b, network.targets).values(), start=e.new_zeros(len(e))),
    }
    order = torch.arange(ROWS).flip(0)
    turned = batch_of({n: v.flip(0) for n, v in subject.values.items()}, batch.present.flip(0))
    with torch.no_grad():
        for what, call in calls.items():
            whole = call(batch, noise)
            if not close(call(turned, noise[order]), whole[order]):
                yield f"{what}: permuted rows give permuted results, but they did not; look at each row by itself"
            elif not all(close(call(batch.take(torch.tensor([r])), noise[[r]]), whole[[r]]) for r in range(6)):
                yield (
                    f"{what}: a row alone gives what it gives among others, but it did not; look at each row by itself"
                )


def what_is_missing_is_left_out(subject: Subject) -> Iterator[str]:
    """A row that lacks some of the given is inferred from those it has."""
    network = subject.network()
    names = tuple(subject.modalities)
    with torch.no_grad():
        prior = network.infer(subject.complete, ())
        for had in subject.sets:
            cut = subject.complete.only(set(had))
            q = network.infer_all(cut)
            expected = network.infer(subject.complete, had)
            if not (close(q.mean, expected.mean) and close(q.variance, expected.variance)):
                kept = ", ".join(had) or "nothing"
                yield (
                    f"infer: a row that has {kept} is inferred from that, but it differs from infer(batch, "
                    f"[{', '.join(had)}]) of whole rows; leave out what is missing"
                )
                break
        if not (finite(prior.mean) and prior.mean.shape == (ROWS, network.latent_dim)):
            yield (
                "infer: given nothing it gives a posterior all the same, the prior in most models, but it did not; "
                "return N(0, I)"
            )
    if refusal(lambda: network.infer(subject.complete, ["no such modality"])) is None:
        yield "infer: an unknown name is a UserError, but none was raised; call self.check_names(given)"
    listed = network.subsets()
    for size in range(1, len(names) + 1) if listed is not None else ():
        for given in itertools.combinations(names, size):
            if (
                frozenset(given) not in set(listed or ())
                and refusal(partial(network.infer, subject.complete, given)) is None
            ):
                yield (
                    f"infer: a set that subsets() does not list is a UserError, but [{', '.join(given)}] was taken; "
                    "refuse it, or list it"
                )
                return


def decoding_is_draw_major(subject: Subject) -> Iterator[str]:
    """`decode` gives each target, row j of z belonging to row j mod B."""
    network, z = subject.network(), subject.noise(3).flatten(0, 1)
    batch = subject.complete
    with torch.no_grad():
        decoded = network.decode(z, batch, network.targets)
        if set(decoded) != set(network.targets):
            yield f"decode: gives the targets asked for, {network.targets}, but {tuple(decoded)} came; give them all"
            return
        if network.decode(z, batch, []):
            yield "decode: leaves out targets that are not asked for, but gave some; heed `targets`"
        for name, p in decoded.items():
            event = tuple(subject.modalities[name].event_shape())
            if tuple(p.batch_shape) != (len(z),) or tuple(p.event_shape) != event:
                yield (
                    f"decode: {name} has batch ({len(z)},) and event {event}, but {tuple(p.batch_shape)} and "
                    f"{tuple(p.event_shape)} came; decode every row of z"
                )
                continue
            x = batch.value(name)
            whole = p.log_prob(x.repeat(3, *[1] * (x.ndim - 1)))
            parts = [network.decode(part, batch, [name])[name].log_prob(x) for part in z.split(ROWS)]
            if not close(whole, torch.cat(parts)):
                yield (
                    f"decode: row j of z belongs to row j mod B, but {name} differs from draws decoded one by one; "
                    "repeat what is read from the batch, draw-major"
                )
            if not close(network.log_prob(z, batch, [name])[name], whole):
                yield (
                    f"log_prob: is that of decode at the batch's values, but it differs for {name}; make the two agree"
                )


def bounds_are_finite(subject: Subject) -> Iterator[str]:
    """`bound` gives a finite number for each row."""
    network = subject.network()
    for what, batch in (("whole rows", subject.complete), ("rows with holes", subject.holes)):
        with torch.no_grad():
            bound = network.bound(batch, subject.noise())
        if bound.shape != (ROWS,) or not finite(bound[network.usable(batch.present)]):
            yield (
                f"bound: gives a finite number for each usable row, ({ROWS},), but {shape(bound)} came for {what}, or "
                "not finite; give one a row"
            )


CHECKS = (
    posteriors_are_posteriors,
    rows_are_inferred_by_themselves,
    what_is_missing_is_left_out,
    decoding_is_draw_major,
    bounds_are_finite,
)
