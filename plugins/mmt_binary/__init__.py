"""The modality of one binary attribute."""

from collections.abc import Iterable

from mmt_binary.binary import Binary
from mmtoolkit import hookimpl

__all__ = ["Binary"]


@hookimpl
def mmt_components() -> Iterable[type[Binary]]:
    """Register the components of this plugin."""
    return [Binary]
