"""The losses and gradients of our models against those of MultiVae 1.0.3, in float64, with the same networks and noise.

`.venv-multivae/bin/python benchmarks/peers.py` prints one table; `make .venv-multivae/ready` makes the environment. Our
own encoders and decoders are put into MultiVae's models, and its draws take our noise, so that all that may differ is
the loss. Where it differs, a second line undoes the named deviation in MultiVae's model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, distributions, nn

from bench.multivae import dataset_of, stored
from bench.peer_models import Decoder, Encoder, JointEncoder, build_peer, mean_loss, without_prior_expert
from mmt_attributes import Label
from mmt_binary import Binary
from mmt_image import Image
from mmtoolkit import MLP, Modality
from mmtoolkit.components import Model, Network
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.models import CMVAE, CRMVAE, DMVAE, JMVAE, MMVAE, MVAE, MVTCAE, MMVAEPlus, MoPoE
from mmtoolkit.priors import LaplacePrior
from mmtoolkit.training.networks import build

_B, _S, _P = 21, 4, 2
_MODALITIES: dict[str, Modality] = {
    "image": Image(shape=(1, 8, 8), network=MLP(width=16)),
    "label": Label(classes=tuple("abcde"), network=MLP(width=16)),
    "flag": Binary(values=("0", "1"), network=MLP(width=16)),
}
_ALONE = torch.arange(_B).unsqueeze(1) % 3 == torch.arange(3)  # each row has one
_COMPLETE = torch.ones(_B, 3, dtype=torch.bool)
_HOLES = torch.arange(_B).unsqueeze(1) % 3 != torch.arange(3)  # each row lacks one modality

Noise = Tensor  # (terms, B, D) or (terms, K, B, D)
Mend = Callable[[Any], Any]  # undoes a deviation in MultiVae's model; a context


@dataclass(frozen=True)
class Case:
    """A comparison.

    Attributes:
        name: of the line.
        model: ours.
        draws: our noise -> what MultiVae draws, in its order.
        beta: the weight of the divergences.
        present: which cells the rows have, (B, 3) bool.
        value: whether its loss has the value of the objective; one of DReG has only the gradient.
        mend: undoes a deviation in MultiVae's model.
        remark: what differs, or what was mended.
    """

    name: str
    model: Model
    draws: Callable[[Noise, Tensor], list[Tensor]]
    beta: float = 1.3
    present: Tensor = field(default_factory=lambda: _COMPLETE)
    value: bool = True
    mend: Mend | None = None
    remark: str = ""


@dataclass(frozen=True)
class Outcome:
    """Two losses, and how far these and the gradients lie apart, as shares of ours."""

    ours: float
    theirs: float
    loss: float
    gradient: float


class _Logits(nn.Module):
    """Our decoder, of whose distribution MultiVae wants the logits in the shape of its rows."""

    def __init__(self, decoder: nn.Module, event: Sequence[int]) -> None:
        super().__init__()
        self.decoder, self.event = decoder, tuple(event)

    def forward(self, z: Tensor) -> Tensor:
        p = self.decoder(z)
        base = p.base_dist if isinstance(p, distributions.Independent) else p
        logits: Tensor = base.logits.reshape(len(z), *self.event)
        return logits


class Pair:
    """Our network, and unless `with_peer` is False MultiVae's model around it, with the same weights and rows."""

    def __init__(self, case: Case, with_peer: bool = True) -> None:
        self.case = case
        self.network: Any = build(case.model, _MODALITIES, seed=1).double()
        _shake(self.network)
        values, data, reads, likelihoods = _rows()
        present = dict(zip(data, case.present.unbind(1), strict=True))
        self.batch = Batch({name: Observed(x, present[name]) for name, x in values.items()})
        if not with_peer:
            return
        self.rows = dataset_of(data, present)
        network, s, p = self.network, case.model.latent_dim, getattr(case.model, "private_dim", 0)
        self.peer = build_peer(
            case.model,
            {name: Encoder(network.encoders.of(name), s, p, reads[name]) for name in data},
            {name: Decoder(_Logits(network.decoders.of(name), data[name].shape[1:]), s + p) for name in data},
            data,
            likelihoods,
            case.beta,
            JointEncoder(network.joint[0], s, reads) if isinstance(case.model, JMVAE) else None,
        )
        self.learned = _copied(network, self.peer)

    def noise(self, seed: int) -> Noise:
        """What both draw."""
        network = self.network
        draws = (network.draws,) if network.draws > 1 else ()
        shape = (network.noise_terms(0), *draws, _B, network.latent_dim)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return _choosing(noise, self.case.present) if isinstance(self.case.model, MoPoE) else noise

    def ours(self, noise: Noise) -> tuple[Tensor, dict[str, Tensor]]:
        """Our loss, and the gradient of each of our parameters."""
        self.network.zero_grad()
        loss, _ = self.network(self.batch, self.case.beta, noise=noise)
        loss.backward()
        return loss.detach(), _gradients(self.network, {})

    def theirs(self, noise: Noise) -> tuple[Tensor, dict[str, Tensor]]:
        """MultiVae's loss, and the gradient of each of our parameters."""
        case = self.case
        self.network.zero_grad()
        self.peer.zero_grad()
        with _drawing(case.draws(noise, case.present)), ExitStack() as stack:
            if case.mend is not None:
                stack.enter_context(case.mend(self.peer))
            output = self.peer(self.rows)
        loss = mean_loss(case.model, output.loss, _B)
        loss.backward()
        return loss.detach(), _gradients(self.network, self.learned)


def compare(case: Case) -> Outcome:
    """Compute both losses and gradients."""
    pair = Pair(case)
    noise = pair.noise(seed=3)
    (loss, ours), (other, theirs) = pair.ours(noise), pair.theirs(noise)
    return Outcome(
        float(loss),
        float(other),
        float((loss - other).abs() / loss.abs()),
        distance(joined(theirs), joined(ours)),
    )


def joined(gradients: Mapping[str, Tensor], part: str = "") -> Tensor:
    """The gradients of all parameters whose names begin with some part, in one row."""
    return torch.cat([x.flatten() for name, x in gradients.items() if name.startswith(part)])


def distance(a: Tensor, b: Tensor) -> float:
    """How far two rows lie apart, as a share of the size of b."""
    return float((a - b).detach().norm() / b.detach().norm())


def average_losses(case: Case, noises: int) -> str:
    """The mean difference of the losses over many noises, and its standard error."""
    pair = Pair(case)
    draws = (pair.noise(seed) for seed in range(noises))
    differences = torch.stack([pair.theirs(noise)[0] - pair.ours(noise)[0] for noise in draws])
    error = differences.std() / noises**0.5
    return f"theirs less ours {float(differences.mean()):.4f} nats, standard error {float(error):.4f}"


def average_gradients(case: Case, noises: int) -> str:
    """How far the mean gradients of the encoders lie from that of the bound itself, over many noises.

    What two halves of the gradients of the bound differ by is what chance leaves.
    """
    pair = Pair(case)
    plain = Pair(replace(case, model=case.model.model_copy(update={"gradient": "standard"})))
    sums: dict[str, list[Tensor]] = {"bound": [], "ours": [], "theirs": []}
    for seed in range(noises):
        noise = pair.noise(seed)
        for name, side in (("bound", plain.ours), ("ours", pair.ours), ("theirs", pair.theirs)):
            sums[name].append(joined(side(noise)[1], "encoders"))
    means = {name: torch.stack(each).mean(0) for name, each in sums.items()}
    half = torch.stack(sums["bound"][: noises // 2]).mean(0)
    return (
        f"ours {distance(means['ours'], means['bound']):.3f}, theirs {distance(means['theirs'], means['bound']):.3f} "
        f"of its size from that of the bound; chance {distance(half, means['bound']):.3f}"
    )


def _shake(network: Network) -> None:
    """Give what starts as zeros some value, so that leaving it out would show."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in network.parameters():
            if (p == 0).all():
                p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))


def _rows() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any], dict[str, str]]:
    """Values as our networks read them, as MultiVae keeps them, how an encoder reads these, and their likelihoods."""
    generator = torch.Generator().manual_seed(2)
    values = {
        "image": torch.randint(0, 2, (_B, 1, 8, 8), generator=generator).double(),
        "label": torch.randint(0, 5, (_B,), generator=generator),
        "flag": torch.randint(0, 2, (_B,), generator=generator).double(),
    }
    data, reads, likelihoods = {}, {}, {}
    for name, modality in _MODALITIES.items():
        stored_value, _, likelihoods[name] = stored(modality, values[name])
        data[name] = stored_value.double()
    reads = {
        "image": lambda x: x,
        "label": lambda x: x.argmax(-1),
        "flag": lambda x: x.squeeze(1),
    }
    return values, data, reads, likelihoods


def _gradients(network: nn.Module, learned: Mapping[str, tuple[Any, float]]) -> dict[str, Tensor]:
    """The gradient of each parameter of ours; those in `learned` have a twin in MultiVae's model, and its factor."""
    gradients = {}
    for name, p in network.named_parameters():
        twin, factor = learned.get(name, (p, 1.0))
        gradient = torch.zeros_like(p) if twin.grad is None else factor * twin.grad.reshape(p.shape)
        gradients[name] = gradient.clone()
    return gradients


def _copied(network: Any, peer: Any) -> Mapping[str, tuple[Any, float]]:
    """Give MultiVae's priors our values; name of a parameter of ours -> its twin and the derivative by ours.

    The twin of several parameters is a `_Rows` of them.
    """
    twins: dict[str, tuple[Any, float]] = {}
    with torch.no_grad():
        for name, p in network.named_parameters():
            match name.rsplit(".", 1)[-1]:
                case "raw":
                    peer.prior_log_var.copy_(p)
                    twins[name] = peer.prior_log_var, 1.0
                case "logscales":
                    priors = peer.logvars_priors if hasattr(peer, "logvars_priors") else peer.r_logvars_priors
                    twin = [priors[unit] for unit in network.units]
                    for row, each in zip(p, twin, strict=True):
                        each.copy_(2 * row)
                    twins[name] = _Rows(twin), 2.0
                case "logits" if hasattr(peer, "_pc_params"):
                    peer._pc_params.copy_(p)
                    twins[name] = peer._pc_params, 1.0
                case "means" | "logvars" as what:
                    twin = list(getattr(peer, "mean_clusters" if what == "means" else "logvar_clusters"))
                    for row, each in zip(p, twin, strict=True):
                        each.copy_(row)
                        each.requires_grad_()
                    twins[name] = _Rows(twin), 1.0
    return twins


class _Rows:
    """Parameters that are the rows of one of ours."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters

    @property
    def grad(self) -> Tensor:
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        return torch.cat([g.reshape(1, -1) for g in grads])


@contextmanager
def _drawing(noise: Sequence[Tensor]) -> Iterator[None]:
    """Let MultiVae draw this noise, one after the other.

    Raises:
        ValueError: a draw has another shape, or there are not as many.
    """
    left = list(noise)

    def taken(shape: torch.Size) -> Tensor:
        if not left or shape not in (left[0].shape, (1, *left[0].shape)):  # it counts a single draw of some models
            raise ValueError(f"MultiVae draws {tuple(shape)}; left are {[tuple(x.shape) for x in left]}")
        return left.pop(0).expand(shape)

    def normal(self: distributions.Normal, shape: Any = ()) -> Tensor:
        return self.loc + self.scale * taken(self._extended_shape(torch.Size(shape)))

    def laplace(self: distributions.Laplace, shape: Any = ()) -> Tensor:
        noise = taken(self._extended_shape(torch.Size(shape)))
        standard = distributions.Laplace(torch.zeros(()), torch.ones(()))
        return self.loc + self.scale * standard.icdf(torch.special.ndtr(noise))

    with (
        mock.patch.object(distributions.Normal, "rsample", normal),
        mock.patch.object(distributions.Laplace, "rsample", laplace),
    ):
        yield
    if left:
        raise ValueError(f"MultiVae left {len(left)} draws")


# What MultiVae draws, in its order, of our noise.


def _in_order(noise: Noise, present: Tensor) -> list[Tensor]:
    """Each term after the other."""
    return list(noise)


def _where_present(noise: Noise, present: Tensor) -> list[Tensor]:
    """The joint term, then each modality for the rows that have it."""
    joint, *alone = noise
    return [joint, *(z[present[:, m]] for m, z in enumerate(alone))]


def _with_privates(noise: Noise, present: Tensor) -> list[Tensor]:
    """For each term z, then what is private to each modality."""
    return [z[:, cut] for z in noise for cut in (slice(0, _S), *map(_own, range(3)))]


def _own_first(noise: Noise, present: Tensor) -> list[Tensor]:
    """For each expert z, its own private part, then those of the others."""
    order = [[m, *(n for n in range(3) if n != m)] for m in range(3)]
    return [z[..., cut] for z, ms in zip(noise, order, strict=True) for cut in (slice(0, _S), *map(_own, ms))]


def _own(m: int) -> slice:
    return slice(_S + m * _P, _S + (m + 1) * _P)


# The MoPoE draws a subset for each row: ours by the first number of its noise, MultiVae's by the place of the row, or,
# of rows with holes, by a further draw. Each row is given a subset that both can draw.


def _subsets(present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The subset of each row, its place among those that are not empty, (B,) each, and how many these are."""
    members = torch.arange(1, 8).unsqueeze(1).bitwise_and(2 ** torch.arange(3)) > 0
    cuts = members & present.unsqueeze(1)  # (B, 7, 3)
    valid = cuts.any(2)
    choice = torch.arange(_B) // 3  # as MultiVae has it of complete rows
    choice = torch.where(valid.gather(1, choice.unsqueeze(1)).squeeze(1), choice, 6)
    place = valid.cumsum(1).gather(1, choice.unsqueeze(1)).squeeze(1) - 1
    codes = (cuts[torch.arange(_B), choice] * 2 ** torch.arange(3)).sum(1)
    return codes - 1, place, valid.sum(1)


def _choosing(noise: Noise, present: Tensor) -> Noise:
    """The same noise, whose first number chooses the subset too."""
    _, place, count = _subsets(present)
    first = torch.special.ndtri((place + torch.special.ndtr(noise[..., 0])) / count)
    return torch.cat([first.unsqueeze(-1), noise[..., 1:]], -1)


def _chosen(noise: Noise, present: Tensor) -> list[Tensor]:
    """What is left of the noise when the subset is chosen."""
    _, place, count = _subsets(present)
    first = torch.special.ndtri(torch.special.ndtr(noise[0, :, 0]) * count - place)
    return [torch.cat([first.unsqueeze(-1), noise[0, :, 1:]], -1)]


# What undoes a deviation.


@contextmanager
def _subsets_chosen() -> Iterator[None]:
    """The subset of rows with holes is that which our noise chooses."""
    codes = _subsets(_HOLES)[0]

    def sample(self: distributions.OneHotCategorical) -> Tensor:
        return nn.functional.one_hot(codes, 7).double()

    with mock.patch.object(distributions.OneHotCategorical, "sample", sample):
        yield


@contextmanager
def _two_modalities(peer: Any) -> Iterator[None]:
    """The number of modalities is that which each row has."""
    with mock.patch.object(peer, "n_modalities", 2):
        yield


@contextmanager
def _over_all_rows(peer: Any) -> Iterator[None]:
    """The average of a term is over all rows."""
    right = peer._compute_elbo_subset

    def scaled(*arguments: Any) -> Any:
        loss, *others = right(*arguments)
        return loss * others[-1] / _B, *others

    with mock.patch.object(peer, "_compute_elbo_subset", scaled):
        yield


_LAPLACE = MMVAE(latent_dim=_S, experts="laplace", prior=LaplacePrior(scale="learned"))
_SHARED = {"latent_dim": _S, "private_dim": _P}
_IWAE, _DREG = {"draws": 5}, {"draws": 5, "gradient": "dreg"}
_ONE_DRAW = "of the same expectation: ours has a part of the divergence in closed form, theirs estimates all of it"
_OF_GRADIENT = "their loss serves the gradient alone; ours has the responsibilities of the experts too, and is unbiased"
_PRIOR = "their product of all modalities has the prior as one more expert, that of no other subset has"
_TWICE = "they count such a row twice, once with the prior as an expert"
_COUNT = "they count all modalities, ours those that a row has"


def _cases() -> list[Case]:
    mmvae, plus, cmvae = MMVAE(latent_dim=_S), MMVAEPlus(**_SHARED), CMVAE(**_SHARED, clusters=4)

    def changed(model: Model, options: Mapping[str, Any]) -> Model:
        return type(model).model_validate({**model.model_dump(), **options})

    cases = [
        Case("mvae", MVAE(latent_dim=_S), _in_order),
        Case(
            "mvae, holes",
            MVAE(latent_dim=_S),
            _where_present,
            present=_HOLES,
            remark="they average a term over the rows that have it, ours over all",
        ),
        Case("mvae, holes", MVAE(latent_dim=_S), _where_present, present=_HOLES, mend=_over_all_rows, remark="mended"),
    ]
    for holes, present in (("", _COMPLETE), (", holes", _HOLES)):
        for name, options, remark in (("elbo", {}, _ONE_DRAW), ("iwae", _IWAE, ""), ("dreg", _DREG, _OF_GRADIENT)):
            for family, model in (("", mmvae), (" of Laplace", _LAPLACE)):
                value = name != "dreg"
                if family and name == "elbo":
                    remark = ""  # neither has a closed form
                label = f"mmvae{family}, {name}{holes}"
                # Their β enters no formula.
                cases.append(Case(label, changed(model, options), _in_order, 1.0, present, value, remark=remark))
    mopoe = MoPoE(latent_dim=_S, divergence="mean")
    cases += [
        Case("mopoe, mean", mopoe, _chosen, remark=_PRIOR),
        Case("mopoe, mean", mopoe, _chosen, mend=without_prior_expert, remark="mended"),
        Case(
            "mopoe, mean, holes",
            mopoe,
            _chosen,
            present=_HOLES,
            mend=lambda peer: _subsets_chosen(),
            remark="no row has all modalities; the subsets drawn are ours",
        ),
        Case("mvtcae", MVTCAE(latent_dim=_S), _in_order),
        Case("mvtcae, holes", MVTCAE(latent_dim=_S), _in_order, present=_HOLES, remark=_COUNT),
        Case("mvtcae, holes", MVTCAE(latent_dim=_S), _in_order, present=_HOLES, mend=_two_modalities, remark="mended"),
        Case("jmvae", JMVAE(latent_dim=_S, width=8), _in_order),
        Case("crmvae", CRMVAE(latent_dim=_S), _in_order),
        Case("crmvae, holes", CRMVAE(latent_dim=_S), _in_order, present=_HOLES, remark=_COUNT),
        Case(
            "crmvae, holes",
            CRMVAE(latent_dim=_S),
            _in_order,
            present=_HOLES,
            mend=_two_modalities,
            remark="mended",
        ),
    ]
    for name, model in (("mmvaeplus", plus), ("cmvae", cmvae)):
        for holes, present in (("", _COMPLETE), (", holes", _HOLES)):
            for how, options in (("elbo", {}), ("iwae", _IWAE), ("dreg", _DREG)):
                remark = {"elbo": _ONE_DRAW, "iwae": "", "dreg": _OF_GRADIENT}[how]
                cases.append(
                    Case(
                        f"{name}, {how}{holes}",
                        changed(model, options),
                        _own_first,
                        present=present,
                        value=how != "dreg",
                        remark=remark,
                    )
                )
    return [
        *cases,
        Case("dmvae", DMVAE(**_SHARED), _with_privates),
        Case("dmvae, holes", DMVAE(**_SHARED), _with_privates, present=_HOLES),
        Case("dmvae, one modality a row", DMVAE(**_SHARED), _with_privates, present=_ALONE, remark=_TWICE),
    ]


def main() -> None:
    """Print the table, and averages over many noises if asked."""
    parser = argparse.ArgumentParser(prog="peers", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--noises", type=int, default=0, help="how many noises to average over; by default there are no averages"
    )
    noises = parser.parse_args().noises
    torch.set_default_dtype(torch.float64)
    print("| model | our loss | theirs | difference of losses | of gradients | remark |\n|---|---|---|---|---|---|")
    cases = _cases()
    for case in cases:
        outcome = compare(case)
        difference = f"{outcome.loss:.1e}" if case.value else "—"
        print(
            f"| {case.name} | {outcome.ours:.6f} | {outcome.theirs:.6f} | {difference} | {outcome.gradient:.1e} | "
            f"{case.remark} |",
            flush=True,
        )
    for case in cases if noises else ():
        if not case.present.all():
            continue
        if case.remark == _ONE_DRAW:
            print(f"{case.name}, {noises} noises: {average_losses(case, noises)}", flush=True)
        elif case.remark == _OF_GRADIENT:
            print(f"{case.name}, {noises} noises: {average_gradients(case, noises)}", flush=True)


if __name__ == "__main__":
    main()
