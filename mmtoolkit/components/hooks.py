"""The hook with which plugins add components."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from mmtoolkit.components.component import Component

PROJECT = "mmtoolkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's implementation of a hook."""


@hookspec
def mmt_components() -> Iterable[type[Component]]:
    """The component classes that a plugin adds.

    Write it in a module that the entry-point group `mmtoolkit` names, or in the file of `--plugin FILE.py`:

    ```python
    from mmtoolkit import hookimpl

    @hookimpl
    def mmt_components():
        return [Reading]
    ```
    """
    raise NotImplementedError
