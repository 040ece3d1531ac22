"""Checks of a model's inference and decoding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmtoolkit.core.batch import Batch
from mmtoolkit.core.posterior import Posterior
from mmtoolkit.core.prior import PriorModule, StandardNormal
from mmtoolkit.testing.models import ROWS, Subject
from mmtoolkit.testing.promises import close, finite, shape, user_error
from mmtoolkit.testing.stand_ins import batch_of

_FEW_ROWS = 3
_DRAWS = 3000
_ERRORS = 6.0


def posteriors_are_posteriors(subject: Subject) -> Iterator[str]:
    """`infer` returns a finite Posterior (B, D) whose draws, density and divergence agree."""
    network, noise = subject.network(), subject.noise(2)
    size = (ROWS, network.latent_dim)
    with torch.no_grad():
        for given in subject.sets:
            q: Any = network.infer(subject.complete, given)
            where = f"infer(batch, [{', '.join(given)}])"
            if not isinstance(q, Posterior):
                yield (
                    f"{where}: must return a Posterior, but got {type(q).__name__}; write mean, variance, point, "
                    "rsample, log_prob, kl and detached"
                )
                return
            z = q.rsample(noise)
            shapes = {
                "mean": (q.mean, size),
                "point": (q.point, size),
                "variance": (q.variance, size),
                "rsample(noise (2, B, D))": (z, (2, *size)),
                "rsample(noise (B, D))": (q.rsample(noise[0]), size),
                "log_prob(z (2, B, D))": (q.log_prob(z), (2, ROWS)),
                "kl()": (q.kl(), (ROWS,)),
                "kl(noise)": (q.kl(noise), (ROWS,)),
            }
            for what, (value, expected) in shapes.items():
                if tuple(value.shape) != expected or not finite(value):
                    yield (
                        f"{where}: {what} must be finite with shape {expected}, but got {shape(value)}, or numbers "
                        "that are not finite; correct it"
                    )
            if not (q.variance > 0).all():
                yield f"{where}: variance must be positive, but got zero or less; bound it from below"
            if not close(q.rsample(noise)[1], q.rsample(noise[1])):
                yield (
                    f"{where}: a draw must depend only on its own noise, but changed with the noise of other draws; "
                    "use noise (..., B, D) elementwise"
                )
            few = network.infer(subject.complete.take(torch.arange(_FEW_ROWS)), given)
            yield from _draws_agree(where, few, network.prior)


def _draws_agree(where: str, q: Posterior, prior: PriorModule | None) -> Iterator[str]:
    """Whether moments, log_prob and the divergence from the prior, if there is one, agree with the draws."""
    rows, size = q.mean.shape
    generator = torch.Generator().manual_seed(23)
    noise = torch.randn(_DRAWS, rows, size, generator=generator)
    z = q.rsample(noise).double()
    error = z.std(0) / _DRAWS**0.5 + 1e-6
    if ((z.mean(0) - q.mean).abs() / error).max() > _ERRORS:
        yield f"{where}: mean must be that of its draws, but is not; make mean and rsample agree"
    spread = (z - z.mean(0)).square()
    if ((spread.mean(0) - q.variance).abs() / (spread.std(0) / _DRAWS**0.5 + 1e-6)).max() > _ERRORS:
        yield f"{where}: variance must be that of its draws, but is not; make variance and rsample agree"
    against = StandardNormal(size) if prior is None else prior
    ratio = (q.log_prob(z.float()) - against.log_prob(z.float())).double()
    if ((ratio.mean(0) - against.kl(q, noise)).abs() / (ratio.std(0) / _DRAWS**0.5 + 1e-3)).max() > _ERRORS:
        yield (
            f"{where}: kl must be the mean over draws of log_prob minus that of the prior, but is not; make rsample, "
            "log_prob and kl agree"
        )
    wide = q.mean + 2 * q.variance.sqrt() * torch.randn(_DRAWS, rows, size, generator=generator)
    proposal = torch.distributions.Normal(q.mean, 2 * q.variance.sqrt()).log_prob(wide).sum(-1)
    weights = (q.log_prob(wide) - proposal).double().exp()
    if ((weights.mean(0) - 1).abs() / (weights.std(0) / _DRAWS**0.5 + 1e-3)).max() > _ERRORS:
        yield (
            f"{where}: log_prob must be a density that integrates to one, but integrates to "
            f"{weights.mean(0).mean():.3g}; add the term that it omits"
        )


def rows_are_independent(subject: Subject) -> Iterator[str]:
    """Inference, decoding, log_prob and bound treat each row on its own, in any order."""
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
                yield f"{what}: must return results in the order of the rows, but did not; treat each row on its own"
            elif not all(close(call(batch.take(torch.tensor([r])), noise[[r]]), whole[[r]]) for r in range(6)):
                yield f"{what}: must treat each row on its own, but a row alone gave another result; use no other rows"


def missing_values_are_left_out(subject: Subject) -> Iterator[str]:
    """A row that lacks some of the given is inferred from the others."""
    network = subject.network()
    names = tuple(subject.modalities)
    with torch.no_grad():
        nothing = network.infer_all(subject.complete.only(()))
        for given in subject.sets:
            q = network.infer_all(subject.complete.only(set(given)))
            expected = network.infer(subject.complete, given)
            if not (close(q.mean, expected.mean) and close(q.variance, expected.variance)):
                yield (
                    f"infer: a row that has only {', '.join(given) or 'nothing'} must have the posterior of whole rows "
                    f"under infer(batch, [{', '.join(given)}]), but differs; leave out missing modalities"
                )
                break
        if not (finite(nothing.mean) and nothing.mean.shape == (ROWS, network.latent_dim)):
            yield (
                "infer: must return a posterior even if rows have nothing, in most models the prior, but did not; "
                "return N(0, I) from posterior(batch, given)"
            )
    if network.prior is None and user_error(lambda: network.infer(subject.complete, ())) is None:
        yield (
            "infer: must raise UserError if nothing is given and there is no p(z), but did not; call self.need_prior()"
        )
    if user_error(lambda: network.infer(subject.complete, ["no such modality"])) is None:
        yield "infer: must raise UserError for an unknown name, but did not; call self.check_names(given)"
    listed = network.subsets()
    for size in range(1, len(names) + 1) if listed is not None else ():
        for given in itertools.combinations(names, size):
            if (
                frozenset(given) not in set(listed or ())
                and user_error(partial(network.infer, subject.complete, given)) is None
            ):
                yield (
                    f"infer: must raise UserError for a set that subsets() does not list, but accepted "
                    f"[{', '.join(given)}]; reject it, or list it"
                )
                return


def decoding_is_draw_major(subject: Subject) -> Iterator[str]:
    """`decode` returns each target; row j of z belongs to row j mod B."""
    network, z = subject.network(), subject.noise(3).flatten(0, 1)
    batch = subject.complete
    with torch.no_grad():
        decoded = network.decode(z, batch, network.targets)
        if set(decoded) != set(network.targets):
            yield (
                f"decode: must return the requested targets, {network.targets}, but got {tuple(decoded)}; return them "
                "all"
            )
            return
        if network.decode(z, batch, []):
            yield "decode: must return only the requested targets, but returned others; use `targets`"
        for name, p in decoded.items():
            event = tuple(subject.modalities[name].event_shape())
            if tuple(p.batch_shape) != (len(z),) or tuple(p.event_shape) != event:
                yield (
                    f"decode: {name} must have batch ({len(z)},) and event {event}, but got {tuple(p.batch_shape)} and "
                    f"{tuple(p.event_shape)}; decode every row of z"
                )
                continue
            x = batch.value(name)
            whole = p.log_prob(x.repeat(3, *[1] * (x.ndim - 1)))
            parts = [network.decode(part, batch, [name])[name].log_prob(x) for part in z.split(ROWS)]
            if not close(whole, torch.cat(parts)):
                yield (
                    f"decode: row j of z must belong to row j mod B, but {name} differs from draws decoded one by one; "
                    "repeat the batch's values draw-major"
                )
            if not close(network.log_prob(z, batch, [name])[name], whole):
                yield (
                    f"log_prob: must equal that of decode at the batch's values, but differs for {name}; make the two "
                    "agree"
                )


def bounds_are_finite(subject: Subject) -> Iterator[str]:
    """`bound` returns a finite number for each usable row."""
    network = subject.network()
    for what, batch in (("whole rows", subject.complete), ("rows with holes", subject.holes)):
        with torch.no_grad():
            bound = network.bound(batch, subject.noise())
        if bound.shape != (ROWS,) or not finite(bound[network.usable(batch.present)]):
            yield (
                f"bound: must return a finite number for each usable row, ({ROWS},), but got {shape(bound)} for "
                f"{what}, or numbers that are not finite; return one a row"
            )


def products_are_posteriors(subject: Subject) -> Iterator[str]:
    """`product`, if the model has one, is the posterior of what rows have, also without one of its experts."""
    network, batch = subject.network(), subject.holes
    with torch.no_grad():
        product = network.product(batch)
        if product is None:
            return
        left_out = {"joint": (product.joint, batch)}
        for place, unit in enumerate(network.units):
            rest = batch.only(set(network.modalities) - set(network.members[unit]))
            left_out[f"without({place})"] = product.without(place), rest
        for what, (q, rows) in left_out.items():
            expected = network.infer_all(rows)
            informed = network.informed(rows.present)
            if not (
                close(q.mean[informed], expected.mean[informed])
                and close(q.variance[informed], expected.variance[informed])
            ):
                yield (
                    f"product: {what} must be the posterior of the rows, but differs from infer_all; return the "
                    "experts that infer joins, or None if it does not multiply them"
                )
        if not close(product.shares().sum(0), torch.ones(batch.size)):
            yield "product: the shares of the experts and of the prior must sum to 1, but do not; give finite experts"


CHECKS = (
    posteriors_are_posteriors,
    rows_are_independent,
    missing_values_are_left_out,
    decoding_is_draw_major,
    bounds_are_finite,
    products_are_posteriors,
)
