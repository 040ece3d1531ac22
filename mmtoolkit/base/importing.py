"""Quick imports of big packages."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Pause Python's garbage collector while big packages are imported.

    An import makes hundreds of thousands of objects that stay. The collector would look through all of them time and
    again, in vain: a quarter of the time of an import of PyTorch with what it needs for training.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
