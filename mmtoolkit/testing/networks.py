"""What a modality promises of its networks and of its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.base.words import listing
from mmtoolkit.components import Banked, NumberModality
from mmtoolkit.core.posterior import at_least_float32
from mmtoolkit.testing.promises import close, double, finite, networks_of, shape, without_gradient
from mmtoolkit.testing.subjects import EXTRA, SIZE, WIDTH, Subject

_EXTREME = (30.0, 1e4)


def _condition(subject: Subject) -> Tensor:
    return torch.randn(len(subject.x), EXTRA, generator=torch.Generator().manual_seed(2))


def _encoders(subject: Subject) -> Iterator[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """What is called to read values, the module that it gives, and what that is handed."""
    x, c = subject.x, _condition(subject)
    yield "encoder(width)", subject.encoder(), (x,)
    yield f"encoder(width, extra={EXTRA})", subject.encoder(EXTRA), (x, c)
    yield "branch(width)", networks_of(lambda: subject.modality.branch(WIDTH)), (x,)


def encoders_give_features(subject: Subject) -> Iterator[str]:
    """`encoder` and `branch` give finite features (N, width)."""
    promised = (len(subject.x), WIDTH)
    for what, network, inputs in _encoders(subject):
        with torch.no_grad():
            features = network(*inputs)
        if tuple(features.shape) != promised:
            yield f"{what}: gives (N, width), {promised}, but {shape(features)} came; correct the last layer"
        elif not finite(features):
            yield f"{what}: gives finite features, but NaN or infinity came; scale what it reads"


def encoders_read_rows(subject: Subject) -> Iterator[str]:
    """`encoder` and `branch` read row by row, one row and many, and every parameter of theirs learns."""
    for what, network, inputs in _encoders(subject):
        with torch.no_grad():
            features = network(*inputs)
            if not close(network(*(rows[:1] for rows in inputs)), features[:1]):
                yield (
                    f"{what}: reads each row by itself in evaluation mode, but one row alone gave another result; mend "
                    "it"
                )
            if not close(network(*(rows.flip(0) for rows in inputs)), features.flip(0)):
                yield f"{what}: permuted rows give permuted features, but they did not; look at each row by itself"
        yield from _gradients(what, network, partial(_projected, inputs))
        network.train()(*(rows[:1] for rows in inputs))
    x, c = subject.x, _condition(subject)
    with torch.no_grad():
        network = subject.encoder(EXTRA)
        if torch.equal(network(x, c), network(x, c + 1)):
            yield (
                f"encoder(width, extra={EXTRA}): reads the condition (N, extra), but it changed nothing; join it to "
                "the features"
            )


def _projected(inputs: Sequence[Tensor], network: nn.Module) -> Tensor:
    features: Tensor = network(*inputs)
    return (features * torch.randn(features.shape)).sum()


def _gradients(what: str, network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Iterator[str]:
    if none := without_gradient(network, loss):
        yield f"{what}: every parameter gets a gradient, but {listing(none, 3)} got none; use or remove it"
    if not all(finite(p.grad) for p in network.parameters() if p.grad is not None):
        yield f"{what}: gradients are finite, but NaN or infinity came; keep intermediate numbers in range"


def conditions_are_told(subject: Subject) -> Iterator[str]:
    """`condition` gives (N, condition_size) finite numbers."""
    told = subject.modality.condition(subject.x)
    promised = (len(subject.x), subject.modality.condition_size)
    if tuple(told.shape) != promised or not told.is_floating_point() or not finite(told):
        yield (
            f"condition: gives (N, condition_size) finite floats, {promised}, but {told.dtype} {shape(told)} came; "
            "make the two agree"
        )


def _decoders(subject: Subject) -> Iterator[tuple[str, nn.Module]]:
    """What is called to say how probable values are, and the module that it gives."""
    yield "decoder(size)", subject.decoder()
    if subject.modality.head(SIZE) is not None:
        yield "head(size)", networks_of(lambda: subject.modality.head(SIZE) or nn.Identity())


def decoders_give_distributions(subject: Subject) -> Iterator[str]:
    """`decoder`, and `head` where there is one, give distributions (N,) of values (*event), log_prob one a row."""
    for what, network in _decoders(subject):
        for rows in (len(subject.x), 1):
            if faults := list(_distribution(what, subject, network, rows)):
                yield from faults
                break


def _distribution(what: str, subject: Subject, network: nn.Module, rows: int) -> Iterator[str]:
    event, x = subject.event, subject.x[:rows]
    p = network(subject.z[:rows])
    if not isinstance(p, Distribution) or tuple(p.batch_shape) != (rows,) or tuple(p.event_shape) != event:
        came = f"{tuple(p.batch_shape)} and {tuple(p.event_shape)}" if isinstance(p, Distribution) else type(p).__name__
        yield (
            f"{what}: gives a Distribution of batch ({rows},) and event {event}, but {came} came; wrap it in "
            "Independent, or correct event_shape"
        )
        return
    log_prob = p.log_prob(x)
    if tuple(log_prob.shape) != (rows,):
        yield f"{what}: log_prob is one number a row, ({rows},), but {shape(log_prob)} came; sum it over the event"
        return
    if not finite(log_prob):
        yield f"{what}: log-probabilities of what cells hold are finite, but NaN or infinity came; bound the parameters"
        return  # before a draw: rejection sampling of NaN parameters would never end
    for name, value in (("sample", p.sample()), ("point", subject.modality.point(p))):
        if tuple(value.shape) != (rows, *event) or not finite(value):
            yield (
                f"{what}: {name} gives finite values (N, *event), {(rows, *event)}, but {shape(value)} came, or not "
                "finite; correct it"
            )


def decoders_learn(subject: Subject) -> Iterator[str]:
    """`decoder` and `head` look at each row by itself, draw many samples at once, and every parameter learns."""
    x, z, event = subject.x, subject.z, subject.event
    for what, network in _decoders(subject):
        with torch.no_grad():
            whole = network(z).log_prob(x)
            if not close(network(z.flip(0)).log_prob(x.flip(0)), whole.flip(0)):
                yield (
                    f"{what}: permuted rows give permuted log-probabilities, but they did not; look at each row by "
                    "itself"
                )
            draws = network(z).sample((3,))
            if tuple(draws.shape) != (3, len(x), *event):
                yield (
                    f"{what}: sample((3,)) gives (3, N, *event), {(3, len(x), *event)}, but {shape(draws)} came; heed "
                    "sample_shape"
                )
            network(torch.full_like(z, torch.nan))  # training looks for what went wrong once the loss is there
        yield from _gradients(what, network, _weighted(x, z))
        network.train()(z[:1]).log_prob(x[:1]).sum().backward()
        linear = sum(isinstance(module, nn.Linear) for module in network.modules())
        if what.startswith("head") and linear > 1:
            yield "head(size): is a single linear layer, but has more; a linear baseline shows what features alone tell"


def _weighted(x: Tensor, z: Tensor) -> Callable[[nn.Module], Tensor]:
    def loss(network: nn.Module) -> Tensor:
        log_prob: Tensor = network(z).log_prob(x)
        return (log_prob * torch.rand(len(x))).sum()

    return loss


def likelihoods_stay_finite(subject: Subject) -> Iterator[str]:
    """Log-probabilities, their gradients and points are finite for z far out too."""
    decoder = subject.decoder()
    for scale in _EXTREME:
        z = (scale * subject.z).requires_grad_()
        p = decoder(z)
        log_prob = p.log_prob(subject.x)
        decoder.zero_grad()
        log_prob.sum().backward()
        assert z.grad is not None
        parts = {
            "log_prob": finite(log_prob),
            "the gradient of log_prob": finite(z.grad)
            and all(finite(q.grad) for q in decoder.parameters() if q.grad is not None),
            "point": finite(subject.modality.point(p)),
        }
        if broken := [part for part, is_finite in parts.items() if not is_finite]:
            yield (
                f"decoder(size): stays finite for every z, but {' and '.join(broken)} did not for z of size {scale:g}; "
                "bound the parameters, such as by softplus in place of exp"
            )


def precision_is_kept(subject: Subject) -> Iterator[str]:
    """Log-probabilities are in float32 under autocast, and in float64 as accurate as that where the networks are."""
    x, z = subject.x, subject.z
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        subject.encoder()(x)
        log_prob = subject.decoder()(z).log_prob(x)
    if at_least_float32(log_prob).dtype != log_prob.dtype or not finite(log_prob):
        yield (
            f"decoder(size): densities are taken in float32 or better, but {log_prob.dtype} came under autocast; use "
            "mmtoolkit.at_least_float32"
        )
    decoder, plain = subject.decoder().double(), subject.decoder()
    z, x = z.double(), double(x)
    features = subject.encoder().double()(x)
    if features.dtype != torch.float64:
        yield (
            f"encoder(width): with weights in float64 gives float64, but {features.dtype} came; do not cast to float32"
        )
    towards = torch.randn(z.shape, generator=torch.Generator().manual_seed(5), dtype=z.dtype)
    with torch.no_grad():
        ahead, behind = (decoder(z + step * towards).log_prob(x) for step in (1e-5, -1e-5))
        if not close(decoder(z).log_prob(x), plain(z.float()).log_prob(subject.x), 1e-3):
            yield (
                "decoder(size): gives in float64 what it gives in float32, but another number came; do not depend on "
                "the type"
            )
    z.requires_grad_()
    log_prob = decoder(z).log_prob(x)
    (slope,) = torch.autograd.grad(log_prob.sum(), z)
    exact, measured = (slope * towards).sum(1), (ahead - behind) / 2e-5
    right = (exact - measured).abs() <= 1e-4 * (1 + exact.abs())
    if log_prob.dtype != torch.float64 or right.double().mean() < 0.7:  # a few rows may lie at a kink
        yield (
            "decoder(size): stays accurate in float64, its gradient equal to finite differences, but it does not; do "
            "not cast to float32, round or detach what depends on z"
        )


def averages_are_of_draws(subject: Subject) -> Iterator[str]:
    """`average` joins draw-major draws row by row, and metrics read it and say what is better."""
    modality, z, x = subject.modality, subject.z, subject.x
    decoder, rows = subject.decoder(), len(subject.z)
    with torch.no_grad():
        two = modality.average(decoder(torch.cat([z, -z])), 2)
        first = modality.average(decoder(torch.stack([z[0], -z[0]])), 2)
        once, thrice = modality.average(decoder(z), 1), modality.average(decoder(z.repeat(3, 1)), 3)
        orders = [
            modality.average(decoder(torch.cat([-z if n == place else z for n in range(3)])), 3) for place in range(3)
        ]
    if any(len(part) != rows for part in _parts(two)):
        yield (
            f"average: gives a statement a row, ({rows}, ...), but {' and '.join(map(shape, _parts(two)))} came; "
            "reduce over draws"
        )
    elif not all(close(part[:1], alone) for part, alone in zip(_parts(two), _parts(first), strict=True)):
        yield (
            "average: row j of p belongs to row j mod N, but rows were mixed; unflatten(0, (draws, -1)) and reduce "
            "the first"
        )
    elif not all(close(a, b) for other in orders[1:] for a, b in zip(_parts(orders[0]), _parts(other), strict=True)):
        yield "average: is the same in whatever order the draws come, but it differs; take all draws alike"
    elif not all(close(a, b) for a, b in zip(_parts(once), _parts(thrice), strict=True)):
        yield "average: of equal draws is that of one, but it differs; take the mean over draws"
    with torch.no_grad():
        p, alone = decoder(z.repeat(3, 1)), decoder(z)
    pooled, point = modality.pooled(p, 3), modality.point(alone)
    if not close(pooled, point):
        yield (
            f"pooled: of equal draws is the point of one, {shape(point)}, but {shape(pooled)} came, or it differs; "
            "join the draws of each row"
        )
    for column, told in modality.spread("it", p, 3).items():
        if column not in modality.source_columns("it") or any(value.shape != (rows,) for value in told.values()):
            yield (
                f"spread: tells of source columns one number a row, ({rows},), but {column!r} and "
                f"{[shape(value) for value in told.values()]} came; reduce over draws"
            )
    for name, metric in modality.metrics().items():
        if metric.higher_is_better is None:
            yield (
                f"metrics: say whether high or low is better, but higher_is_better of {name} is None; set it to True "
                "or False in its class"
            )
        metric.update(two, x)
        value = metric.compute()
        if value.numel() != 1 or not finite(value):
            yield f"metrics: {name} gives one finite number, but {value} came; reduce it"


def _parts(average: Any) -> tuple[Tensor, ...]:
    return average if isinstance(average, tuple) else (average,)


def weights_fit_networks_built_again(subject: Subject) -> Iterator[str]:
    """Networks built again from saved options take saved weights, and give what they gave."""
    modality = type(subject.modality).model_validate_json(subject.modality.model_dump_json())
    pairs: list[tuple[str, nn.Module, nn.Module, Callable[[nn.Module], Tensor]]] = [
        (
            "encoder(width)",
            subject.encoder(),
            networks_of(lambda: modality.encoder(WIDTH), seed=1),
            lambda network: network(subject.x),
        ),
        (
            "decoder(size)",
            subject.decoder(),
            networks_of(lambda: modality.decoder(SIZE), seed=1),
            lambda network: network(subject.z).log_prob(subject.x),
        ),
    ]
    for what, saved, new, given in pairs:
        state = saved.state_dict()
        if strange := [name for name, value in state.items() if not isinstance(value, Tensor)]:
            yield (
                f"{what}: its state is tensors, which alone are saved, but {strange[0]} is none; make it an option or "
                "a buffer"
            )
            continue
        new.load_state_dict(state)
        with torch.no_grad():
            if not torch.equal(given(saved), given(new)):
                yield (
                    f"{what}: gives the same once its weights are loaded, but it does not; register what it remembers "
                    "as a buffer, or make it an option that fit fills"
                )


def unknown_entries_do_not_matter(subject: Subject) -> Iterator[str]:
    """What stands in an unknown entry changes no feature, likelihood or gradient."""
    modality = subject.modality
    if not isinstance(modality, NumberModality) or modality.single:
        return
    x = double(subject.x).to(torch.float32).clone()
    known = x[:, 1] > 0.5
    fewer = known & (torch.rand(known.shape) < 0.5)
    known = torch.where(fewer.any(1, keepdim=True), fewer, known)
    x[:, 0], x[:, 1] = torch.where(known, x[:, 0], 0.0), known.to(x)
    kinds: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor, nn.Module], Tensor]]] = {
        "encoder(width)": (subject.encoder, lambda values, network: network(values)),
        "decoder(size)": (subject.decoder, lambda values, network: network(subject.z).log_prob(values)),
    }
    for what, (make, out) in kinds.items():
        clean = _results(make(), partial(out, x))
        for garbage in (torch.nan, torch.inf, -1e30, 1.0):
            y = x.clone()
            y[:, 0] = torch.where(x[:, 1] > 0.5, x[:, 0], garbage)
            if not all(map(torch.equal, clean, _results(make(), partial(out, y)))):
                yield (
                    f"{what}: what stands in an unknown entry changes nothing, but {garbage} did; read values by "
                    "split_entries"
                )
                break


def _results(network: nn.Module, out: Callable[[nn.Module], Tensor]) -> list[Tensor]:
    """What is given, and the gradients that its sum leaves on the network."""
    found = out(network)
    found.sum().backward()
    return [found.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


def _called(call: Callable[[], Tensor], _: nn.Module) -> Tensor:
    return call()


def banks_equal_separate_networks(subject: Subject) -> Iterator[str]:
    """A bank gives what separate networks give on the valid rows, gradients too, whatever stands elsewhere."""
    modality = subject.modality
    if not isinstance(modality, Banked):
        return
    x, z, event = subject.x, subject.z, subject.event
    counts = (5, 1, 3)
    valid = torch.arange(max(counts)) < torch.tensor(counts).unsqueeze(1)
    padded_x, padded_z = (
        torch.stack([torch.cat([rows[:n], filler.expand(5 - n, *rows.shape[1:])]) for n in counts])
        for rows, filler in ((x, torch.full_like(x[0], 1)), (z, torch.full_like(z[0], torch.nan)))
    )
    encoders, decoders = (
        [networks_of(partial(make, size), seed) for seed in range(3)]
        for make, size in ((modality.encoder, WIDTH), (modality.decoder, SIZE))
    )
    weight = torch.randn(3, 5, WIDTH)

    def banked_encoders() -> Tensor:
        return torch.where(valid.unsqueeze(-1), modality.encode_bank(encoders, padded_x, valid) * weight, 0.0)

    def separate_encoders() -> Tensor:
        each = [net(x[:n]) * weight[i, :n] for i, (net, n) in enumerate(zip(encoders, counts, strict=True))]
        return torch.stack([torch.cat([part, part.new_zeros(5 - len(part), WIDTH)]) for part in each])

    def banked_decoders() -> Tensor:
        p = modality.decode_bank(decoders, padded_z, valid)
        if tuple(p.batch_shape) != (3, 5) or tuple(p.event_shape) != event:
            raise ValueError(
                f"batch {tuple(p.batch_shape)} and event {tuple(p.event_shape)} came, not (n, N) and {event}"
            )
        return torch.where(valid, p.log_prob(padded_x), 0.0)

    def separate_decoders() -> Tensor:
        each = [net(z[:n]).log_prob(x[:n]) for net, n in zip(decoders, counts, strict=True)]
        return torch.stack([torch.cat([part, part.new_zeros(5 - len(part))]) for part in each])

    for what, networks, banked, separate in (
        ("encode_bank", encoders, banked_encoders, separate_encoders),
        ("decode_bank", decoders, banked_decoders, separate_decoders),
    ):
        group = nn.ModuleList(networks)
        found = []
        for call in (banked, separate):
            group.zero_grad()
            found.append(_results(group, partial(_called, call)))
        if len(found[0]) != len(found[1]) or not all(map(close, *found)):
            yield (
                f"{what}: gives what separate networks give on valid rows, gradients too, but it differs; mask the "
                "rows that are not valid"
            )


NEEDED = (encoders_give_features, decoders_give_distributions)
CHECKS = (
    encoders_give_features,
    encoders_read_rows,
    conditions_are_told,
    decoders_give_distributions,
    decoders_learn,
    likelihoods_stay_finite,
    precision_is_kept,
    averages_are_of_draws,
    weights_fit_networks_built_again,
    unknown_entries_do_not_matter,
    banks_equal_separate_networks,
)
