"""What a run imports before its first step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
from mmtoolkit import read_schema, run

class Stop:
    def begin(self, *start):
        print(json.dumps(sorted(sys.modules)))
        import lightning_fabric.utilities.imports as imports
        assert imports._TORCHMETRICS_GREATER_EQUAL_1_0_0
        raise SystemExit

run(read_schema(sys.argv[1]), sys.argv[2], watcher=Stop(), device="cpu")
"""


@pytest.mark.slow
def test_a_run_begins_to_train_without_what_only_scores_and_pictures_need(tmp_path: Path) -> None:
    rows = "".join(f"{k},{'ab'[k % 2]}\n" for k in range(20))
    (tmp_path / "table.csv").write_text(f"x,label\n{rows}")
    schema = tmp_path / "schema.yaml"
    schema.write_text(
        "name: start\ndata: {kind: table, path: table.csv}\n"
        "modalities: {x: {kind: numeric}, label: {kind: label}}\n"
        "model: {kind: mvae, latent_dim: 2}\ntrain: {epochs: 1, batch_size: 8}\nevaluate: [{kind: prediction}]\n"
    )
    command = [sys.executable, "-c", CODE, str(schema), str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = set(json.loads(ended.stdout.splitlines()[-1]))
    assert "lightning_fabric" in modules
    late = ("matplotlib", "torchmetrics", "jinja2", "mmtoolkit.figures", "mmtoolkit.runs.report", "zuko", "scipy")
    assert modules.isdisjoint(late), modules.intersection(late)
