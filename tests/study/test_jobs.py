"""Several runs at once: their number, their progress, Ctrl-C. A small script stands for mmt."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.schema.schema import Schema, read_schema
from mmtoolkit.study.grid import Cell
from mmtoolkit.study.jobs import run_cells
from mmtoolkit.study.process import Outcome

SCRIPT = """\
import os, signal, sys, time
from pathlib import Path

what, folder = sys.argv[2], Path(sys.argv[sys.argv.index("--out") + 1])
folder.mkdir(parents=True)

def save(*_):
    time.sleep(0.3)
    (folder / "checkpoint").touch()
    os._exit(130)

def wait_for_others():
    while len(list(folder.parent.glob("*/pid"))) < 2:
        time.sleep(0.02)

signal.signal(signal.SIGINT, signal.SIG_IGN if what == "stubborn" else save)
print("epoch 1/4  loss 1", os.environ["OMP_NUM_THREADS"], file=sys.stderr, flush=True)
print(os.environ["OMP_NUM_THREADS"], "threads", file=sys.stderr, flush=True)
if "--threads" in sys.argv:
    print(sys.argv[sys.argv.index("--threads"):], file=sys.stderr, flush=True)
(folder / "new").write_text(str(os.getpid()))
(folder / "new").rename(folder / "pid")
if what == "waits" or what == "stubborn":
    time.sleep(60)
elif what == "short":
    time.sleep(0.4)
elif what == "interrupted":
    wait_for_others()
    os._exit(130)
elif what == "killed":
    wait_for_others()
    os.kill(os.getpid(), signal.SIGKILL)
"""

Outcomes = Generator[tuple[Cell, Outcome], None, None]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read_schema("fashion_mini")


@pytest.fixture
def start(tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcomes]:
    """Starts runs, each named after the behaviour of its script."""
    monkeypatch.setattr("mmtoolkit.study.process.PROGRAM", (sys.executable, "-S", "-c", SCRIPT))
    monkeypatch.setattr("mmtoolkit.study.jobs._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("mmtoolkit.study.jobs.available_threads", lambda: 5)

    def begin(*names: str, jobs: int = 2, shares: list[float] | None = None, threads: int | None = None) -> Outcomes:
        cells = [Cell({}, 0, name, f"{n}-{name}", name, (), schema) for n, name in enumerate(names)]
        progress: list[float] = [] if shares is None else shares
        return run_cells(cells, tmp_path, lambda cell, share: progress.append(share), jobs, (), "cpu", threads)

    return begin


@pytest.fixture
def ctrl_c(tmp_path: Path) -> Generator[Callable[[int], None], None, None]:
    """Presses Ctrl-C so many times, once two runs are active."""
    threads = []
    # A shell starts what it puts in the background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(times: int) -> None:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("runs/*/pid"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    def later(times: int) -> None:
        threads.append(threading.Thread(target=press, args=(times,)))
        threads[0].start()

    yield later
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGINT, before)


def folders(out: Path, file: str = "") -> set[str]:
    return {path.parent.name if file else path.name for path in out.glob(f"runs/*/{file}" if file else "runs/*")}


def ended(path: Path) -> bool:
    """Whether the process of every run has ended."""
    for file in path.glob("runs/*/pid"):
        try:
            os.kill(int(file.read_text()), 0)
        except ProcessLookupError:
            continue
        return False
    return True


def test_every_run_gives_its_outcome_and_jobs_share_the_threads(start: Callable[..., Outcomes]) -> None:
    shares: list[float] = []
    outcomes = list(start("a", "b", "c", jobs=2, shares=shares))
    assert {cell.title: outcome.notes for cell, outcome in outcomes} == dict.fromkeys("abc", ("2 threads",))
    assert shares == []


def test_a_number_of_threads_is_for_each_run(start: Callable[..., Outcomes]) -> None:
    outcomes = list(start("a", "b", jobs=2, threads=3))
    assert [outcome.notes for _, outcome in outcomes] == [("3 threads", "['--threads', '3']")] * 2


def test_a_single_process_reports_its_share(start: Callable[..., Outcomes]) -> None:
    shares: list[float] = []
    ((_, outcome),) = start("short", jobs=1, shares=shares)
    assert outcome.notes == ("5 threads",)
    assert set(shares) <= {0, 0.25}  # a loaded machine may look only once
    assert shares[-1] == 0.25


def test_ctrl_c_waits_until_every_run_has_written_its_checkpoint(
    start: Callable[..., Outcomes], ctrl_c: Callable[[int], None], tmp_path: Path
) -> None:
    ctrl_c(1)
    with pytest.raises(KeyboardInterrupt):
        list(start("waits", "waits", "a"))
    assert folders(tmp_path) == folders(tmp_path, "checkpoint") == {"0-waits", "1-waits"}
    assert ended(tmp_path)


def test_a_second_ctrl_c_kills(start: Callable[..., Outcomes], ctrl_c: Callable[[int], None], tmp_path: Path) -> None:
    start_time = time.monotonic()
    ctrl_c(2)
    with pytest.raises(KeyboardInterrupt):
        list(start("stubborn", "stubborn"))
    assert ended(tmp_path)
    assert time.monotonic() - start_time < 40  # they would sleep for a minute


def test_a_killed_run_ends_the_study_and_the_others_write_checkpoints(
    start: Callable[..., Outcomes], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        list(start("waits", "killed", "a"))
    (fault,) = raised.value.faults
    assert_facts(fault, f"{tmp_path}: ", "killed", "memory", "same command", "smaller --jobs")
    assert folders(tmp_path, "checkpoint") == {"0-waits"}
    assert folders(tmp_path) == {"0-waits", "1-killed"}
    assert ended(tmp_path)


def test_a_run_that_is_interrupted_by_itself_interrupts_the_study(
    start: Callable[..., Outcomes], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(start("interrupted", "waits"))
    assert folders(tmp_path, "checkpoint") == {"1-waits"}


def test_active_runs_end_when_the_generator_is_closed(start: Callable[..., Outcomes], tmp_path: Path) -> None:
    with closing(start("waits", "short")) as outcomes:
        assert next(outcomes)[0].title == "short"
    assert folders(tmp_path, "checkpoint") == {"0-waits"}
    assert ended(tmp_path)
