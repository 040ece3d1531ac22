"""An evaluator of how often the right partner is found among some candidates."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmtoolkit import Batch, Component, Entry, EntryEvaluator, MeanWithError, Run, Scores, hookimpl

_ALIKE = 1e-3  # nats


class Retrieval(EntryEvaluator[Entry]):
    """Whether a row's own target is the likeliest of those of some rows: log p(target | z), z the mean of q(z | given).

    By default each modality from all others. A row counts if it has all of the target and of the given; candidates are
    the rows next to it. Where n are as likely, it is found by 1/n.
    """

    kind: Literal["retrieval"] = "retrieval"

    candidates: Annotated[int, Field(ge=2, le=100)] = 10
    """How many rows there are to choose from."""

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result an entry, and a figure.

        {target, given, metric: retrieved, better, value, stderr, examples, baseline}.
        """
        names = tuple(run.modalities)
        every = [Entry(target=(name,), given=tuple(other for other in names if other != name)) for name in names]
        entries, notes = self.chosen(every, run.model)
        results = []
        for entry in entries:
            mean = MeanWithError()
            for batch in run.batches(split, self.groups(entry, run, split)):
                mean.update(self.found(entry, run, batch))
            scores = {"metric": "retrieved", "better": "high", **mean.compute(), "baseline": 1 / self.candidates}
            results.append({"target": list(entry.target), "given": list(entry.given), **scores})
        return Scores(results, {"retrieved": bars(entries, results)}, notes)

    def groups(self, entry: Entry, run: Run, split: str) -> Sequence[Tensor]:
        """The rows that count, some at a time; the last few, which are too few, are left out."""
        needed = {*entry.target, *entry.given, *run.model.conditions}
        places = [place for place, name in enumerate(run.modalities) if name in needed]
        rows = run.present[split][:, places].all(1).nonzero().squeeze(1)
        return [group for group in rows.split(self.candidates) if len(group) == self.candidates]

    def found(self, entry: Entry, run: Run, batch: Batch) -> Tensor:
        """1 where a row's own target is the likeliest, 0 where it is not: (B,)."""
        z = run.model.infer(batch, entry.given).mean
        # Draw s of z, moved on by s rows, meets each target with the z of the row s before it.
        moved = torch.cat([z.roll(s, 0) for s in range(batch.size)])
        log_probs = sum(run.model.log_prob(moved, batch, entry.target).values(), torch.zeros(()))
        of_z = torch.stack([one.roll(-s) for s, one in enumerate(log_probs.view(batch.size, batch.size))])
        # (candidate, row of z); candidate 0 is its own. Sums of equal values differ by rounding, with where they stand.
        likeliest = of_z > of_z.max(0).values - _ALIKE
        return likeliest[0] / likeliest.sum(0)


def bars(entries: Sequence[Entry], results: Sequence[dict[str, Any]]):
    """A bar for each entry."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 0.6 + 0.4 * len(entries)), layout="constrained")
    axes = figure.subplots()
    axes.barh([str(entry) for entry in entries], [result["value"] or 0.0 for result in results])
    axes.set(xlim=(0, 1), xlabel="found")
    return figure


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this plugin."""
    return [Retrieval]
