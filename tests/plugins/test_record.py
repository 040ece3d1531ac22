"""The record: its networks and likelihoods against those of its columns, and models over records by explicit loops."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import mmtoolkit
from mmt_attributes import Count, Label, Numeric
from mmt_binary import Binary
from mmt_record import Record
from mmtoolkit import MLP, MVAE, VAE, Batch, Observed
from mmtoolkit.core.batch import Block
from mmtoolkit.models import CVAE, JMVAE, BiVCCA
from toys import Vector, randn

D, B = 3, 7
NETWORK = MLP(width=16, depth=2, residual=True, norm="layer")
COLUMNS = {
    "age": Numeric(mean=(40.0,), std=(12.0,)),
    "sex": Label(classes=("f", "m", "x")),
    "weight": Numeric(mean=(70.0,), std=(15.0,), likelihood="student_t"),
    "smokes": Binary(values=("no", "yes")),
    "price": Numeric(mean=(2.0,), std=(1.0,), likelihood="lognormal"),
    "height": Numeric(mean=(170.0,), std=(9.0,)),
    "insured": Binary(values=("no", "yes")),
    "town": Label(classes=("a", "b")),
    "street": Label(classes=tuple(map(str, range(30)))),
}


def record_of(names=tuple(COLUMNS), network=NETWORK):
    return Record(columns={name: COLUMNS[name] for name in names}, network=network)


def values_of(rows=B, seed=0):
    """Prepared values of every column, with the photo as a vector beside them."""
    generator = torch.Generator().manual_seed(seed)
    draw = {name: torch.randn(rows, generator=generator, dtype=torch.float64) for name in COLUMNS}
    return {
        "age": 40 + 12 * draw["age"],
        "sex": torch.randint(0, 3, (rows,), generator=generator),
        "weight": 70 + 15 * draw["weight"],
        "smokes": (draw["smokes"] > 0).float(),
        "price": draw["price"].exp(),
        "height": 170 + 9 * draw["height"],
        "insured": (draw["insured"] > 0).float(),
        "town": torch.randint(0, 2, (rows,), generator=generator),
        "street": torch.randint(0, 30, (rows,), generator=generator),
        "photo": torch.randn(rows, 2, generator=generator, dtype=torch.float64),
    }


def presence(rows=B, seed=1):
    """A table with holes: the first row has everything, the second no column, the third no photo, the last nothing."""
    present = torch.rand(rows, len(COLUMNS) + 1, generator=torch.Generator().manual_seed(seed)) < 0.6
    present[0] = True
    present[1, :-1], present[1, -1] = False, True
    present[2, -1] = False
    present[-1] = False
    return present


def batch_of(present, values=None, names=(*COLUMNS, "photo")):
    values = values_of(len(present)) if values is None else values
    return Batch({name: Observed(values[name], present[:, m]) for m, name in enumerate(names)})


def network_of(model, units=None, seed=0):
    units = {"person": record_of(), "photo": Vector()} if units is None else units
    return mmtoolkit.build(model, units, seed=seed).double().eval()


def loss_of(network, batch, noise, **options):
    network.zero_grad()
    loss, terms = network(batch, beta=0.7, noise=noise, **options)
    loss.backward()
    return loss.detach(), terms, {name: p.grad for name, p in network.named_parameters()}


def numbers_of(k):
    """The outputs that the column at index k needs."""
    modality = list(COLUMNS.values())[k]
    return modality.likelihood.numbers(modality.form())


# Units.


def test_a_record_is_one_unit_whose_columns_are_modalities():
    network = network_of(MVAE(latent_dim=D))
    assert list(network.units) == ["person", "photo"]
    assert list(network.modalities) == [*COLUMNS, "photo"]
    present = presence()
    there = network.there(batch_of(present))
    assert torch.equal(there, torch.stack([present[:, :-1].any(1), present[:, -1]], dim=1))
    assert network.experts(batch_of(present)).mean.shape == (2, B, D)
    assert network.touched(["age", "photo"]) == {"person", "photo"}
    assert network.flat(["person"]) == tuple(COLUMNS)


def test_z_is_inferred_from_any_columns_and_the_record_stands_for_all():
    network, batch = network_of(MVAE(latent_dim=D)), batch_of(presence())
    every, by_name = network.infer(batch, ["person"]), network.infer(batch, list(COLUMNS))
    assert torch.equal(every.mean, by_name.mean)
    two = network.infer(batch, ["sex", "age"])
    assert torch.equal(two.mean, network.infer(batch.only({"sex", "age"}), ["person"]).mean)
    assert not torch.allclose(two.mean[0], every.mean[0])
    with pytest.raises(mmtoolkit.UserError, match="there is no modality 'shoe' here; the modalities: age, sex"):
        network.infer(batch, ["shoe"])


def test_decoding_gives_each_column_the_distribution_of_its_own_modality():
    network = network_of(MVAE(latent_dim=D))
    z, values = randn(B, D), values_of()
    decoded = network.decode(z, batch_of(presence()), ["person", "photo"])
    assert list(decoded) == [*COLUMNS, "photo"]
    whole = network.decoders.of("person")(z)
    packed = torch.stack(
        [torch.stack([values[name].double() for name in COLUMNS], 1), torch.ones(B, len(COLUMNS)).double()], 1
    )
    together = whole.log_probs(packed)
    for k, (name, modality) in enumerate(COLUMNS.items()):
        p = decoded[name]
        assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((B,), ())
        assert torch.allclose(p.log_prob(values[name]).double(), together[:, k], atol=1e-6)
        assert modality.point(p).shape == (B,)
        assert p.sample((2,)).shape == (2, B)
    assert torch.allclose(whole.log_prob(packed), together.sum(1))
    assert whole.sample((3,)).shape == (3, B, 2, 9)
    assert whole.mean.shape == (B, 2, 9)


def test_columns_with_equal_likelihoods_share_a_head_and_keep_their_own_scale():
    decoder = record_of().decoder(D)
    assert [group.columns for group in decoder.groups] == [(0, 5), (1, 7), (2,), (3, 6), (4,), (8,)]
    assert decoder.groups[0].head.raw_scale.shape == (2,)
    fixed = {"a": Numeric(mean=(0.0,), std=(1.0,), likelihood={"kind": "gaussian", "scale": [2.0]})}
    fixed["b"] = fixed["a"]
    decoder = Record(columns=fixed, network=NETWORK).decoder(D)
    assert [group.columns for group in decoder.groups] == [(0,), (1,)]


def test_each_log_probability_is_that_of_the_columns_own_head():
    """The head of a column alone, fed with its own outputs and its own scale, gives the same numbers."""
    decoder = record_of().decoder(D).double()
    with torch.no_grad():
        for parameter in decoder.heads.parameters():
            parameter.normal_()
    values, z = values_of(), randn(B, D)
    raw, start = decoder.raw(z).squeeze(1), 0
    log_probs = torch.zeros(B, len(COLUMNS)).double()
    for group in decoder.groups:
        outputs = raw[:, start : start + group.outputs]
        start += group.outputs
        for place, k in enumerate(group.columns):
            name, modality = list(COLUMNS.items())[k]
            form, alone = modality.form(), modality.likelihood.head(modality.form()).double()
            numbers = modality.likelihood.numbers(form)
            for own_name, own in alone.named_parameters():
                own.data = getattr(group.head, own_name).detach()[place : place + 1]
            first = sum(map(numbers_of, group.columns[:place]))
            own_outputs = outputs[:, first : first + numbers]
            p = modality.joined(alone(own_outputs.reshape(B, numbers, *form.places)))
            log_probs[:, k] = p.log_prob(values[name])
    packed = torch.stack(
        [torch.stack([values[name].double() for name in COLUMNS], 1), torch.ones(B, len(COLUMNS)).double()], 1
    )
    assert torch.allclose(decoder(z).log_probs(packed), log_probs, atol=1e-12)


def test_a_record_of_one_number_gives_the_numbers_of_numeric():
    record = Record(columns={"age": COLUMNS["age"]}, network=NETWORK)
    numeric = Numeric(columns=("age",), mean=(40.0,), std=(12.0,), network=NETWORK)
    one, other = (network_of(VAE(latent_dim=D), {"age_": record}), network_of(VAE(latent_dim=D), {"age": numeric}))
    assert [p.shape for p in one.parameters()] == [q.shape for q in other.parameters()]
    with torch.no_grad():
        for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
            p.copy_(q / 10 if "parametrizations" in name else q)
    x, present, noise = values_of()["age"], torch.tensor([1, 1, 0, 1, 1, 1, 0]) > 0, randn(1, B, D)
    columns = torch.stack([x, torch.ones(B).double()], 1).unsqueeze(2)
    mine = loss_of(one, Batch({"age": Observed(x, present)}), noise)
    its = loss_of(other, Batch({"age": Observed(columns, present)}), noise)
    assert torch.allclose(mine[0], its[0], atol=1e-6, rtol=0)
    for (name, p), q in zip(mine[2].items(), its[2].values(), strict=True):
        assert torch.allclose(p, q * 10 if "parametrizations" in name else q, atol=1e-6)
    batches = (Batch({"age": Observed(x, present)}), Batch({"age": Observed(columns, present)}))
    bounds = [network.bound(batch, noise[0]) for network, batch in zip((one, other), batches, strict=True)]
    assert torch.allclose(*bounds, atol=1e-6)


@pytest.mark.parametrize("blank", [math.nan, math.inf, -math.inf, 0.0, 1e300, -7.0])
def test_what_stands_in_an_unknown_cell_changes_nothing(blank):
    network, present, noise = network_of(MVAE(latent_dim=D)), presence(), randn(3, B, D)
    before = loss_of(network, batch_of(present), noise)
    values = {
        name: torch.where(present[:, m].reshape(-1, *[1] * (x.ndim - 1)), x, torch.tensor(blank).to(x.dtype))
        for m, (name, x) in enumerate(values_of().items())
    }
    after = loss_of(network, batch_of(present, values), noise)
    assert torch.equal(before[0], after[0])
    assert all(torch.equal(g, after[2][name]) for name, g in before[2].items() if g is not None)
    names, columns = tuple(COLUMNS), [values[name].double() for name in COLUMNS]
    block = Block(torch.stack(columns, 1), present[:, :-1], tuple(values_of()[name].dtype for name in names))
    photo = values["photo"][present[:, -1]], present[:, -1].nonzero().squeeze(1)
    stored = Batch.of_present(B, {"photo": photo[0]}, {"photo": photo[1]}, (), None, {names: block}, (*names, "photo"))
    in_blocks = loss_of(network, stored, noise)
    assert torch.equal(before[0], in_blocks[0])
    assert all(torch.equal(g, in_blocks[2][name]) for name, g in before[2].items() if g is not None)


def test_a_column_that_no_row_has_leaves_everything_as_without_it():
    few = ("age", "sex", "weight", "smokes")
    more = (*few, "price")
    one, other = (network_of(VAE(latent_dim=D), {"person": record_of(names)}) for names in (few, more))
    features, outputs = _places_of_columns(record_of(more), few)
    slices = {"encoders.0.network.first.0.weight": (1, features)}
    for name, p in one.named_parameters():
        p.data = _cut(dict(other.named_parameters())[name], *slices.get(name, (0, None)), outputs)
    values, present, noise = values_of(), presence()[:, :4], randn(1, B, D)
    without = loss_of(one, batch_of(present, values, few), noise)
    nobody = torch.cat([present, torch.zeros(B, 1, dtype=torch.bool)], 1)
    beside = loss_of(other, batch_of(nobody, values, more), noise)
    assert torch.equal(without[0], beside[0])
    for name, g in without[2].items():  # a wider matrix may be summed in another order
        torch.testing.assert_close(
            _cut(beside[2][name], *slices.get(name, (0, None)), outputs), g, rtol=1e-5, atol=1e-7
        )
    terms = beside[1]
    assert terms.pop("log p(price)") == 0
    assert {name: float(term) for name, term in terms.items()} == {n: float(t) for n, t in without[1].items()}


def _places_of_columns(record, names):
    """Where the features and the outputs of some columns stand among those of a record that begins with them."""
    owners = record.encoder(2).reader.owners
    features = [f for f, k in enumerate(owners.tolist()) if k < len(names)]
    features += range(len(owners), len(owners) + len(names))
    groups = record.decoder(2).groups
    return features, sum(group.outputs for group in groups if max(group.columns) < len(names))


def _cut(parameter, dimension, places, outputs):
    if places is not None:
        return parameter.data[:, places].clone()
    last = parameter.shape[0] == outputs + 1 and parameter.shape[0] not in (16, 2 * D)
    return parameter[:outputs].detach().clone() if last else parameter.detach().clone()


def test_the_order_of_columns_and_of_rows_changes_nothing():
    names, turned = tuple(COLUMNS), tuple(reversed(COLUMNS))
    one = network_of(MVAE(latent_dim=D), {"person": record_of(names)})
    other = network_of(MVAE(latent_dim=D), {"person": record_of(turned)})
    read, write = _orders(record_of(names), record_of(turned))
    for name, p in other.named_parameters():
        source = dict(one.named_parameters())[name] if "heads" not in name else p
        p.data = source.data[:, read] if name.endswith("network.first.0.weight") else source.data.clone()
    last = [name for name, p in one.named_parameters() if name.startswith("decoders.0.raw")][-2:]
    for name in last:
        dict(other.named_parameters())[name].data = dict(one.named_parameters())[name].data[write]
    present, noise, values = presence()[:, :-1], randn(2, B, D), values_of()
    order = torch.randperm(B, generator=torch.Generator().manual_seed(3))
    places = [names.index(name) for name in turned]
    a, _, _ = loss_of(one, batch_of(present, values, names), noise)
    b, _, _ = loss_of(other, batch_of(present[:, places], values, turned), noise)
    moved = {name: x[order] for name, x in values.items()}
    c, _, _ = loss_of(one, batch_of(present[order], moved, names), noise[:, order])
    assert torch.allclose(a, b, atol=1e-10, rtol=0)
    assert torch.allclose(a, c, atol=1e-10, rtol=0)


def _orders(record, turned):
    """Where each feature and output of `turned` stands in `record`."""
    names, other = list(record.columns), list(turned.columns)
    owners, owners_turned = record.encoder(2).reader.owners, turned.encoder(2).reader.owners
    read = [
        int((owners == names.index(other[k])).nonzero()[0]) + int((owners_turned[:f] == k).sum())
        for f, k in enumerate(owners_turned.tolist())
    ]
    read += [len(owners) + names.index(name) for name in other]

    def outputs(of):
        labels = []
        for group in of.decoder(2).groups:
            for k in group.columns:
                labels += [
                    (list(of.columns)[k], number) for number in range(numbers_of(names.index(list(of.columns)[k])))
                ]
        return labels

    mine = outputs(record)
    return read, [mine.index(label) for label in outputs(turned)]


def test_columns_of_a_class_that_reads_one_number_are_read_one_by_one():
    columns = {name: Count(mean=(mean,), std=(0.7,)) for name, mean in (("visits", 1.0), ("rings", 2.0))}
    record = Record(columns=columns, network=NETWORK)
    x = torch.tensor([[[3.0, 0.0], [1.0, 1.0]], [[5.0, 8.0], [1.0, 0.0]]], dtype=torch.float64)
    features = record.encoder(2).reader(x)
    for place, count in enumerate(columns.values()):
        alone = count.reader()(x[:, 0, place]).squeeze(1)
        assert torch.equal(features[:, place], torch.where(x[:, 1, place] > 0, alone, 0.0))
    log_probs = record.decoder(D).double()(randn(2, D)).log_probs(x)
    assert log_probs[1, 1] == 0
    assert (log_probs[0] < 0).all()


# Models over a record and a photo, by explicit loops.


def q_of(network, batch, units):
    """The parameters of the expert of each of these units, (B, D) each, by its own encoder."""
    experts = {}
    for unit in units:
        value = network.value(unit, batch)
        mean, logvar = network.encoders.of(unit)(value).chunk(2, dim=-1)
        rows = network.rows(unit, batch).tolist()
        experts[unit] = {row: (mean[n], logvar[n]) for n, row in enumerate(rows)}
    return experts


def explicit_q(experts, row, units):
    precision, weighted = torch.ones(D).double(), torch.zeros(D).double()
    for unit in units:
        if row in experts[unit]:
            mean, logvar = experts[unit][row]
            precision, weighted = precision + (-logvar).exp(), weighted + mean * (-logvar).exp()
    return Normal(weighted / precision, precision**-0.5)


def explicit_log_probs(network, batch, row, z):
    """Log p of each known cell of a row."""
    decoded = network.decode(z.unsqueeze(0), batch.take(torch.tensor([row])), network.targets)
    log_probs = {}
    for name, p in decoded.items():
        if row in batch.rows(name).tolist():
            place = batch.rows(name).tolist().index(row)
            log_probs[name] = p.log_prob(batch.value(name)[place : place + 1])[0]
    return log_probs


def explicit_term(network, batch, row, q, noise, names, beta=0.7):
    z = q.mean + q.stddev * noise
    log_probs = explicit_log_probs(network, batch, row, z)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum()
    weights = {name: network.modalities[name].weight for name in network.modalities}
    return beta * kl - sum(weights[name] * log_probs[name] for name in names if name in log_probs)


def cells_to_hide(present, seed=5):
    visible = present & (torch.rand(present.shape, generator=torch.Generator().manual_seed(seed)) < 0.6)
    nothing = present.any(1) & ~visible.any(1)
    visible[nothing] = present[nothing]
    return visible


@pytest.mark.parametrize("hides", [False, True])
def test_mvae_over_a_record_and_a_photo_by_a_loop(hides):
    columns = {**COLUMNS, "age": COLUMNS["age"].with_options(weight=3.0)}
    units = {"person": Record(columns=columns, network=NETWORK), "photo": Vector(weight=0.5)}
    network, present, noise = network_of(MVAE(latent_dim=D), units), presence(), randn(3, B, D)
    batch = batch_of(present)
    visible = batch.where(cells_to_hide(present)) if hides else batch
    experts = q_of(network, visible, ["person", "photo"])
    total, rows = torch.zeros(()).double(), 0
    for row in range(B):
        has = [unit for unit, there in zip(network.units, network.there(batch)[row], strict=True) if there]
        shows = [unit for unit in has if row in experts[unit]]
        if not shows:
            continue
        rows += 1
        q = explicit_q(experts, row, shows)
        total = total + explicit_term(network, batch, row, q, noise[0, row], network.flat(has))
        for place, unit in enumerate(network.units):
            if len(has) > 1 and unit in shows:
                q = explicit_q(experts, row, [unit])
                total = total + explicit_term(network, batch, row, q, noise[1 + place, row], network.flat([unit]))
    loss, terms = network(batch, beta=0.7, noise=noise, visible=visible if hides else None)
    assert torch.allclose(loss, total / rows, atol=1e-10)
    assert list(terms) == [f"log p({name})" for name in network.modalities] + ["KL"]


def test_jmvae_over_a_record_and_a_photo_by_a_loop():
    network = network_of(JMVAE(latent_dim=D, width=8, alpha=0.3))
    present, noise = presence(), randn(1, B, D)
    present[3:5, -1] = True
    batch = batch_of(present)
    rows = network.there(batch).all(1).nonzero().squeeze(1)
    assert 1 < len(rows) < B
    whole = batch.take(rows)
    joint = network.joint[0]({unit: network.value(unit, whole) for unit in network.units})
    alone = [network.encoders.of(unit)(network.value(unit, whole)) for unit in network.units]
    total = torch.zeros(()).double()
    for n, row in enumerate(rows.tolist()):
        mean, logvar = joint[n].chunk(2)
        q = Normal(mean, (0.5 * logvar).exp())
        total = total + explicit_term(network, batch, row, q, noise[0, row], network.targets)
        for features in alone:
            other, scale = features[n].chunk(2)
            total = total + 0.3 * kl_divergence(q, Normal(other, (0.5 * scale).exp())).sum()
    loss, _ = network(batch, beta=0.7, noise=noise)
    assert torch.allclose(loss, total / len(rows), atol=1e-10)


@pytest.mark.parametrize(("target", "given"), [("person", "photo"), ("photo", "person")])
def test_cvae_with_a_record_by_a_loop(target, given):
    units = {"person": record_of(), "photo": Numeric(columns=("x", "y"), mean=(0.0, 0.0), std=(1.0, 1.0))}
    network = network_of(CVAE(latent_dim=D, target=target, given=(given,)), units)
    values, present, noise = values_of(), presence(), randn(1, B, D)
    values["photo"] = torch.stack([values["photo"], torch.ones(B, 2).double()], 1)
    present[3:5, -1] = True
    batch = batch_of(present, values)
    rows = network.usable(batch.present).nonzero().squeeze(1)
    whole = batch.take(rows)
    condition = units[given].condition(network.value(given, whole)).double()
    features = network.encoders.of(target)(network.value(target, whole), condition)
    total = torch.zeros(()).double()
    for n, row in enumerate(rows.tolist()):
        mean, logvar = features[n].chunk(2)
        q = Normal(mean, (0.5 * logvar).exp())
        total = total + explicit_term(network, batch, row, q, noise[0, row], network.targets)
    loss, _ = network(batch, beta=0.7, noise=noise)
    assert torch.allclose(loss, total / len(rows), atol=1e-10)


def test_bivcca_over_a_record_and_a_photo_by_a_loop():
    network, present, noise = network_of(BiVCCA(latent_dim=D, mu=0.3)), presence(), randn(2, B, D)
    batch = batch_of(present)
    total, rows = torch.zeros(()).double(), 0
    experts = q_of(network, batch, ["person", "photo"])
    for row in range(B):
        shows = [unit for unit in network.units if row in experts[unit]]
        rows += bool(shows)
        for place, (unit, weight) in enumerate(zip(network.units, (0.3, 0.7), strict=True)):
            if unit not in shows:
                continue
            mean, logvar = experts[unit][row]
            q = Normal(mean, (0.5 * logvar).exp())
            share = weight if len(shows) == 2 else 1.0
            total = total + share * explicit_term(network, batch, row, q, noise[place, row], network.targets)
    loss, _ = network(batch, beta=0.7, noise=noise)
    assert torch.allclose(loss, total / rows, atol=1e-10)


@pytest.mark.parametrize(
    "model", [MVAE(latent_dim=D), JMVAE(latent_dim=D, width=8), BiVCCA(latent_dim=D), VAE(latent_dim=D)]
)
def test_the_bound_infers_z_from_what_is_visible_and_scores_all(model):
    network, noise = network_of(model), randn(B, D)
    present = torch.ones(B, 10, dtype=torch.bool)
    batch = batch_of(present)
    visible = batch.where(torch.rand(B, 10, generator=torch.Generator().manual_seed(2)) < 0.7)
    bound = network.bound(batch, noise, visible)
    if isinstance(model, BiVCCA):
        assert not torch.allclose(bound, network.bound(batch, noise))
        return
    q = network.infer_all(visible)
    log_probs = network.log_prob(q.rsample(noise), batch, network.targets)
    assert set(log_probs) == set(network.targets)
    assert torch.allclose(bound, sum(log_probs.values()) - q.kl(), atol=1e-12)
    assert torch.equal(network.bound(batch, noise), network.bound(batch, noise, batch))


def test_many_draws_of_z_score_the_rows_in_turn():
    network, batch, z = network_of(MVAE(latent_dim=D)), batch_of(presence()), randn(3 * B, D)
    together = network.log_prob(z, batch, network.targets)
    for draw in range(3):
        alone = network.log_prob(z[draw * B : (draw + 1) * B], batch, network.targets)
        for name in network.targets:
            assert torch.allclose(together[name][draw * B : (draw + 1) * B], alone[name], atol=1e-12)
