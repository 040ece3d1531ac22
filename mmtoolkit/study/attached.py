"""Run `mmt` as a process of a study, which ends when the study ends, even if the study is killed.

The study holds the other end of stdin and writes nothing to it. When the study ends, the system closes that end.
"""

from __future__ import annotations

import os
import runpy
import threading


def _end_with_study() -> None:
    os.read(0, 1)  # returns when the other end is closed
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_study, daemon=True).start()
    runpy.run_module("mmtoolkit", run_name="__main__", alter_sys=True)
