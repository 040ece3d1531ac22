"""The benchmarks: their two sides do the same work, each line runs to its end, and the page shows the results."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.against import PEER
from bench.alternation import Side, SideError, alternate
from bench.flat_models import new_floor
from bench.floor import Floor
from bench.gpu import our_step, print_table
from bench.lines import LINES, chosen
from bench.page import PAGE, render
from bench.reading import Measured, Reading, Target, quartiles, written
from bench.results import Results
from bench.same import check_floor
from bench.work import WORKS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_the_floor_has_the_loss_and_the_gradients_of_ours(name: str) -> None:
    work = WORKS[name](rows=100)
    floor = new_floor(work)
    before = [p.detach().clone() for p in floor.parameters()]
    facts = check_floor(work, floor)
    assert facts["loss of one batch"] == pytest.approx(facts["loss of the other side"], rel=1e-4)
    assert floor.epoch(0) > 0
    assert any((a != b).any() for a, b in zip(before, floor.parameters(), strict=True))


@pytest.mark.parametrize("name", ["bimodal", "missing", "table32", "mmvaeplus"])
def test_a_floor_that_computes_something_else_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., torch.Tensor] = Floor.loss
    monkeypatch.setattr(Floor, "loss", lambda self, *rows, **more: 1.001 * right(self, *rows, **more))
    work = WORKS[name](rows=50)
    with pytest.raises(ValueError, match="the loss of the two sides differ"):
        check_floor(work, new_floor(work))


def test_a_floor_with_other_networks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parameter \d+ has shape|is longer|is shorter"):
        check_floor(WORKS["binaries2"](rows=50), Floor(WORKS["binaries5"](rows=50)))


def test_the_step_that_a_gpu_is_timed_with_runs() -> None:
    step = our_step(WORKS["table32"](rows=50), "cpu")
    step(torch.arange(32))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    print_table()
    assert capsys.readouterr().out == "PyTorch finds no GPU here; nothing is measured\n"


class Recorded(Side):
    """A side without a process."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def turn(self) -> dict[str, float]:
        self.log.append(self.name)
        return {"seconds": float(len(self.log))}


def test_sides_alternate_and_take_turns_in_beginning() -> None:
    log: list[str] = []
    turns = alternate(Recorded("a", log), Recorded("b", log), 3)
    assert "".join(log) == "ab" + "ba" + "ab" + "ba"  # the first pair warms up
    assert [(a["seconds"], b["seconds"]) for a, b in turns] == [(4, 3), (5, 6), (8, 7)]


def test_long_turns_leave_fewer_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.alternation._LONGEST", -1.0)
    log: list[str] = []
    assert len(alternate(Recorded("a", log), Recorded("b", log), 20)) == 5


@pytest.mark.slow
def test_a_side_that_fails_says_why() -> None:
    with pytest.raises(SideError, match="nowhere"):
        Side("ours", {"work": "nowhere", "rows": 1})


def test_readings_have_quartiles_and_a_verdict() -> None:
    assert quartiles([3.0]) == (3, 3, 3)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2, 3, 4)
    reading = Reading("a step", "times the floor", [1.0, 1.2, 1.4], Target(most=1.1, aim=1.05)).as_json()
    assert (reading["median"], reading["quartiles"], reading["met"]) == (1.2, [1.1, 1.3], False)
    assert written(reading).endswith("target at most 1.1 (1.05 aimed at): missed")
    assert Reading("a step", "ms", [11.0], Target(most=12)).as_json()["met"] is True
    assert Reading("speed", "times", [2.3], Target(least=2.4)).as_json()["met"] is False


def test_lines_are_chosen_by_name_and_by_what_stands_before_the_dot() -> None:
    assert [line.name for line in chosen(["tables", "floor.bimodal"])] == ["floor.bimodal", "tables.32", "tables.128"]
    assert len(chosen([])) == len(LINES)
    with pytest.raises(ValueError, match=r"no line 'table'; the lines are floor\.bimodal"):
        chosen(["table"])


def test_an_interrupted_bench_knows_what_is_left(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.begin(["start", "tail"])
    results.add("start", "a run", Measured([Reading("the wait", "s", [2.0])]), 1.0)
    again = Results(tmp_path)
    assert again.left() == ["tail"]
    again.add("tail", "a run", Measured([Reading("the wait", "s", [3.0])]), 1.0)
    assert Results(tmp_path).left() == []
    page = render(tmp_path)
    assert "| `start` | a run | the wait: **2.00** s |" in page
    assert "| `tail` | a run | the wait: **3.00** s |" in page


def test_the_page_shows_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()  # `make bench` or `python -m bench.page` writes it anew


ALIKE = {"tables.128", "binaries.5", "binaries.10", "binaries.20", "binaries.50", "binaries.100"}  # lines like others
NAMES = [name for name, line in LINES.items() if name not in ALIKE and (PEER.exists() or not line.peer)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_line_runs_to_its_end(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--quick", "--results", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [path] = tmp_path.glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    readings = content["lines"][name]["readings"]
    assert readings
    assert all(reading["median"] > 0 for reading in readings)
    assert f"{name}: " in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not PEER.exists(), reason="MultiVae's environment is not there")
def test_losses_are_those_of_multivae_where_nothing_differs() -> None:
    done = subprocess.run([PEER, ROOT / "benchmarks/peers.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    same = [row for row in rows if row[5] in ("", "mended")]
    assert len(same) >= 20
    for name, _, _, loss, gradient, _ in same:
        assert float(loss) < 1e-8, name
        assert float(gradient) < 1e-6, name
