"""The names that weights had in older versions, so that runs of these versions load."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

# Pattern of the name in 0.1 -> the names of the same tensor since 0.2. Of several, the first that the networks have is
# meant. A network of an encoder or decoder stood in the modality's own module; now it stands in `network`.
_ENCODER = r"(encoders\.\d+\.)"
_DECODER = r"(decoders\.\d+\.)"
_BRANCH = r"(joint\.\d+\.branches\.\d+\.)"
RENAMED: tuple[tuple[str, tuple[str, ...]], ...] = (
    # The first layer stood behind a module without weights in attributes and binary, and in one of its own in numeric.
    (_ENCODER + r"first\.0\.", (r"\1network.first.0.",)),
    (_ENCODER + r"first\.1\.", (r"\1network.first.0.",)),
    (_ENCODER + r"first\.2\.", (r"\1network.first.1.",)),
    (_ENCODER + r"first\.linear\.", (r"\1network.first.0.",)),
    (_ENCODER + r"shallow\.", (r"\1network.first.",)),
    (_ENCODER + r"reader\.", (r"\1network.first.",)),
    (_ENCODER + r"dense\.", (r"\1network.dense.",)),
    (_BRANCH + r"linear\.", (r"\1network.0.",)),
    (_BRANCH + r"1\.", (r"\1network.1.", r"\1network.0.")),
    (_BRANCH + r"0\.", (r"\1network.0.",)),
    (_DECODER + r"layers\.", (r"\1network.raw.",)),
    (_DECODER + r"(?:likelihood\.)?raw_scale$", (r"\1network.head.raw_scale",)),
    (_DECODER, (r"\1network.", r"\1network.writer.")),
)


def renamed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file under the names that the networks have now.

    A tensor keeps its name if the networks have that name, or if they have none of its new names in its shape.

    Args:
        tensors: name in the file -> tensor.
        own: name in the networks -> tensor.
    """
    answer: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        fits = (new for new in _candidates(name) if new in own and own[new].shape == tensor.shape)
        answer[name if name in own else next(fits, name)] = tensor
    return answer


def _candidates(name: str) -> Iterator[str]:
    """The names that a tensor of 0.1 may have now, the likeliest first."""
    for pattern, names in RENAMED:
        if re.match(pattern, name):
            yield from (re.sub(pattern, new, name, count=1) for new in names)
