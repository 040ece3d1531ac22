"""Traces programs by torch.export, and checks what is made of them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.export import Dim, ExportedProgram

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import one_line, shorten
from mmtoolkit.export.programs import Program, Tensors
from mmtoolkit.export.pruning import prune

_ROWS = 3  # of the example; 0 and 1 are numbers that PyTorch treats in ways of their own
CHECKED = (1, 5)
"""How many rows are compared."""
_TOLERANCE = 1e-5


def traced(program: Program, what: str) -> ExportedProgram:
    """The program by torch.export, for any number of rows, which is checked to compute the same.

    Args:
        program: in evaluation mode, on the host.
        what: the program in the words of a message, such as `the decoder of image`.

    Raises:
        UserError: some part of it cannot be exported, or what is exported computes something else.
    """
    with quiet(), torch.no_grad():
        try:
            exported = torch.export.export(
                program, tuple(example(program, _ROWS)), dynamic_shapes=(({0: Dim("rows")},) * len(program.inputs),)
            )
            run = exported.module()
            outputs = [(run(*tensors), program(*tensors)) for tensors in (example(program, n) for n in CHECKED)]
        except Exception as error:
            raise UserError(f"{what}: cannot be exported: {reason_of(error)}") from error
    for actual, expected in outputs:
        check_equal(what, "torch.export", actual, expected)
    prune(exported)
    return exported


def example(program: Program, rows: int) -> list[Tensor]:
    """Inputs with this many rows: numbers that repeat, zeros for values, and masks with holes."""
    generator = torch.Generator().manual_seed(rows)
    return [slot.example(rows, generator) for slot in program.inputs]


def check_equal(what: str, way: str, actual: Tensors, expected: Tensors) -> None:
    """Raise a `UserError` if an output that was exported in some way is not that of PyTorch."""
    for name, x in expected.items():
        y = actual[name]
        if y.dtype != x.dtype or not torch.allclose(
            y.double(), x.double(), rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True
        ):
            raise UserError(
                f"{what}: cannot be exported: its {name} differs by {way} from that of PyTorch; write it without what "
                "a trace leaves out, such as a choice by the numbers in a tensor"
            )


def reason_of(error: Exception) -> str:
    """The first line of an error."""
    return shorten(one_line(str(error).strip().split("\n", 1)[0]) or type(error).__name__, 300)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch says of its work, and without checks of distributions, which read numbers on the host."""
    disabled, validates = logging.root.manager.disable, Distribution._validate_args
    logging.disable(logging.CRITICAL)
    Distribution.set_default_validate_args(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Distribution.set_default_validate_args(validates)
        logging.disable(disabled)
