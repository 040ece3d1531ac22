"""Environments that hold plugins of their own, and are lent everything else by this one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a cache of its own beside it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, project: Path, *options: str) -> None:
        """Install a project from its folder, as pip does."""
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(self.python)]
        words = [*pip, "install", "--no-deps", "--no-build-isolation", *options, str(project)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def ran(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """The interpreter with arguments, such as `-m`, `mmtoolkit`, `plugins`."""
        return subprocess.run(
            [str(self.python), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            check=False,
            timeout=300,
            env={**os.environ, "MMT_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"},
        )


def environment(folder: Path) -> Environment:
    """A new environment in a folder; mmtoolkit is there as it is here."""
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return Environment(folder)
