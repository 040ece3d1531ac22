"""Forty and a hundred modalities, from a schema to a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facts import assert_facts
from runs import mmt, sets

SOURCE = '''
"""A plugin whose rows have many columns of yes and no, a third of them missing."""

from typing import Literal

import numpy as np

from mmtoolkit import Columns, Source, hookimpl


class Answers(Source):
    kind: Literal["answers"] = "answers"
    count: int

    def splits(self):
        return ("train", "valid", "test")

    def files(self):
        return []

    def load(self, split):
        draw = np.random.default_rng(len(split))
        trait = draw.random(24) < 0.5
        cells = np.where(draw.random((self.count, 24)) < 0.9, trait, ~trait).astype(object)
        cells[draw.random(cells.shape) < 0.3] = None
        return Columns({f"question {k}": list(column) for k, column in enumerate(cells)})


@hookimpl
def mmt_components():
    return [Answers]
'''

SCHEMA = """
name: many
data: {{kind: answers, count: {count}}}
modalities:
  questions: {{kind: binary, values: ["False", "True"], each: [{names}]}}
model: {{kind: mvae, latent_dim: 3, subsets: {{k: 2}}}}
train: {{epochs: 2, batch_size: 12, warmup_epochs: 1}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "changes"),
    [(40, []), (100, ["evaluate=[{kind: elbo}]"])],
)
def test_many_modalities_from_a_schema_to_a_report(
    count: int, changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("answers.py").write_text(SOURCE)
    names = ", ".join(f"question {k}" for k in range(count))
    Path("many.yaml").write_text(SCHEMA.format(count=count, names=names))
    ended = mmt("run", "--plugin", "answers.py", "many.yaml", *sets(*changes), "--out", "run")
    assert ended.status == 0, ended.err
    results = json.loads(Path("run/results.json").read_text())
    elbo, *prediction = results["scores"]
    assert [r["target"] for r in elbo["results"]][:count] == [[f"question {k}"] for k in range(count)]
    assert all(r["value"] < 0 for r in elbo["results"])
    for score in prediction:
        accuracy = [r for r in score["results"] if r["metric"] == "accuracy"]
        assert len(accuracy) == count * (count + 1)
    assert_facts(ended.err, "first 8 modalities", "`mmt sample --given NAME`", "question 8, question 9")
    assert Path("run/report.html").exists()
