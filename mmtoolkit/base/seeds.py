"""Derives a seed from the purpose of its random numbers."""

from __future__ import annotations

import numpy as np


def seed_for(*parts: int | str) -> int:
    """A seed below 2^63 from all its parts, such as ("step", seed, step, process); the same on every machine."""
    numbers = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in parts]
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
