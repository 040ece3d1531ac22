"""IDX, the file format of MNIST."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def idx_bytes(array: NDArray[np.uint8], kind: int = 8) -> bytes:
    """An array as an IDX file holds it."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
