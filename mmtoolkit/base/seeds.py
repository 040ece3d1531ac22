"""Seeds that are a function of what they are for."""

from __future__ import annotations

import numpy as np


def seed_for(*parts: int | str) -> int:
    """A seed that depends on all its parts, such as ("step", seed, step, process): the same everywhere, below 2^63."""
    numbers = [part if isinstance(part, int) else int.from_bytes(part.encode(), "big") for part in parts]
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
