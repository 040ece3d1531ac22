"""The floor: the training of an MVAE as one flat loop in plain PyTorch.

Its data lies in memory as the networks read it, its Adam is fused, each modality is encoded once a step and each
decoder runs once, over just the draws that it must reconstruct. Where cells are missing it computes with the present
ones alone, as ours does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.work import Work
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.core.subsets import draw_subsets

Draw = Callable[[Tensor], Tensor]


class Floor(nn.Module):
    """Networks and steps of the floor for some work."""

    def __init__(self, work: Work, device: str = "cpu", extra: nn.Parameter | None = None) -> None:
        super().__init__()
        self.extra = extra  # what a model learns besides its networks
        pieces = work.pieces()
        split = work.dataset.splits["train"]
        self.encoders = nn.ModuleList(piece.encoder for piece in pieces.values())
        self.decoders = nn.ModuleList(piece.decoder for piece in pieces.values())
        self.columns = [
            piece.read(modality.prepare(split.stored[name], None, None)).to(device)
            for (name, modality), piece in zip(split.modalities.items(), pieces.values(), strict=True)
        ]
        self.present = split.present
        self.complete = bool(split.present.all())
        self.batch_size, self.k = work.batch_size, work.random_subsets
        self.to(device)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=work.learning_rate, fused=True)

    def epoch(self, number: int) -> float:
        """Train on all rows once, in the order and with the subsets of our epoch of this number; return the seconds."""
        begun = time.perf_counter()
        order = torch.randperm(len(self.present), generator=torch.Generator().manual_seed(seed_for("order", 0, number)))
        chunks = order.split(self.batch_size)
        for step, rows in enumerate(chunks, start=number * len(chunks)):
            torch.default_generator.manual_seed(seed_for("step", 0, step, 0))
            self.step(rows)
        return time.perf_counter() - begun

    def step(self, rows: Tensor) -> None:
        self.loss(rows, draw_subsets(len(self.columns), self.k)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def loss(self, rows: Tensor, subsets: Tensor, draw: Draw = torch.randn_like) -> Tensor:
        """The loss of some rows, in nats a row. `draw` makes noise of the shape of z."""
        if self.complete:
            sent = rows.to(self.columns[0].device, non_blocking=True)
            x = [column.index_select(0, sent) for column in self.columns]
            return self._complete(x, subsets, draw) / len(rows)
        return self._with_holes(rows, self.present.index_select(0, rows), subsets, draw) / len(rows)

    def _experts(self, x: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Means and log-variances of complete rows: (M, B, D) each."""
        experts = torch.stack([encoder(v) for encoder, v in zip(self.encoders, x, strict=True)])
        mean, logvar = experts.chunk(2, -1)
        return mean, logvar

    def _complete(self, x: list[Tensor], subsets: Tensor, draw: Draw) -> Tensor:
        """The loss of complete rows; of random subsets there is at most one, which repeats no other term."""
        mean, logvar = self._experts(x)
        precision = torch.exp(-logvar)
        weighted = mean * precision
        cuts = [subset.nonzero().squeeze(1).tolist() for subset in subsets]
        total = torch.cat([precision.sum(0, True), *(precision[cut].sum(0, True) for cut in cuts), precision]) + 1
        mean = torch.cat([weighted.sum(0, True), *(weighted[cut].sum(0, True) for cut in cuts), weighted]) / total
        logvar = -torch.log(total)
        z = mean + torch.exp(0.5 * logvar) * draw(mean)  # (1 + k + M, B, D)
        loss = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()
        for i, (decoder, value) in enumerate(zip(self.decoders, x, strict=True)):
            terms = [z[0], *(z[1 + s] for s, cut in enumerate(cuts) if i in cut), z[1 + len(cuts) + i]]
            loss = loss + decoder(torch.cat(terms), value.repeat(len(terms), *[1] * (value.ndim - 1)))
        return loss

    def _with_holes(self, rows: Tensor, there: Tensor, subsets: Tensor, draw: Draw) -> Tensor:
        """The loss of rows of which some lack some modalities, there (B, M) bool."""
        device = self.columns[0].device
        b, m = there.shape
        cuts = subsets[:, None] & there  # (k, B, M)
        new = (cuts.sum(2) > 1) & (cuts != there).any(2)
        for later in range(1, len(cuts)):
            new[later] &= (cuts[:later] != cuts[later]).any(2).all(0)
        members = torch.cat([there[None], cuts & new[:, :, None]])  # (S, B, M)
        terms = members.any(2).flatten().nonzero().squeeze(1)  # of the products, by (term, row)
        pairs = members.flatten(0, 1)[terms]
        slots = there.T.flatten().nonzero().squeeze(1)  # of the experts, by (modality, row)
        alone = (there & (there.sum(1, True) > 1)).T.flatten()[slots].nonzero().squeeze(1)
        owner = torch.cat([terms, slots[alone]]) % b
        which = torch.cat([torch.full_like(terms, -1), slots[alone] // b])
        chosen = torch.cat([pairs, torch.zeros(len(alone), m, dtype=torch.bool)])
        chosen |= which.unsqueeze(1) == torch.arange(m)

        there_of = [there[:, i].nonzero().squeeze(1) for i in range(m)]
        x = [c.index_select(0, rows[t].to(device)) for c, t in zip(self.columns, there_of, strict=True)]
        experts = torch.cat([encoder(v) for encoder, v in zip(self.encoders, x, strict=True) if len(v)])
        mean, logvar = experts.chunk(2, 1)
        precision = torch.exp(-logvar)
        natural = torch.cat([precision, precision * mean], 1)
        dense = natural.new_zeros(m * b, natural.shape[1]).index_copy(0, slots.to(device), natural).view(m, b, -1)
        products = torch.bmm(members.permute(1, 0, 2).to(device, natural.dtype), dense.transpose(0, 1))  # (B, S, 2 D)
        products = products.transpose(0, 1).flatten(0, 1).index_select(0, terms.to(device))
        total, weighted = torch.cat([products, natural.index_select(0, alone.to(device))]).chunk(2, 1)
        total = total + 1
        mean, logvar = weighted / total, -torch.log(total)
        z = mean + torch.exp(0.5 * logvar) * draw(mean)
        loss = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()
        for i, (decoder, value) in enumerate(zip(self.decoders, x, strict=True)):
            if len(value):
                mine = chosen[:, i].nonzero().squeeze(1)
                places = (there[:, i].cumsum(0) - 1)[owner[mine]]
                loss = loss + decoder(z.index_select(0, mine.to(device)), value.index_select(0, places.to(device)))
        return loss
