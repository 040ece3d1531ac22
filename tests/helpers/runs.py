"""Small runs on the bundled data, in this process or in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from facts import assert_facts

SMALL = [
    "data.rows={train: 300, valid: 60, test: 80}",
    "train.epochs=2",
    "train.warmup_epochs=1",
    "train.batch_size=50",
    "model.latent_dim=4",
]


def sets(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


@dataclass
class Ended:
    status: int
    out: str
    err: str


def mmt(*arguments: str | Path) -> Ended:
    """The command line, in this process."""
    from mmtoolkit.cli import application
    from mmtoolkit.cli.app import with_global_options_first

    words = with_global_options_first([str(a) for a in arguments])
    result = CliRunner().invoke(application(), words, prog_name="mmt", catch_exceptions=False)
    return Ended(result.exit_code, result.stdout, result.stderr)


def mmt_process(*arguments: str | Path, **environment: str) -> Ended:
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "mmtoolkit", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def assert_refused(ended: Ended, facts: Sequence[str]) -> None:
    """Status 2 and one line with these facts."""
    assert (ended.status, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert_facts(line, *facts)
