"""Translates traced programs to ONNX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from mmtoolkit.base.errors import UserError
from mmtoolkit.export.programs import Program, Tensors
from mmtoolkit.export.tracing import CHECKED, check_equal, example, quiet, reason_of


def write_onnx(program: Program, exported: ExportedProgram, path: Path, what: str) -> None:
    """Write a traced program as ONNX, with named inputs and outputs, which is checked to compute the same.

    Args:
        program: as it was traced.
        exported: its trace.
        path: of the file.
        what: the program in the words of a message.

    Raises:
        UserError: the extra is not installed, an operation has no translation, or ONNX Runtime computes something else.
    """
    need_onnx()
    with quiet(), torch.no_grad():
        names = list(program(*example(program, 2)))
        try:
            _translate(exported, [slot.name for slot in program.inputs], names, path)
            results = [_served(path, program, names, rows) for rows in CHECKED]
        except Exception as error:
            raise UserError(
                f"{what}: cannot be written as ONNX: {reason_of(error)}; leave out --format onnx"
            ) from error
        for rows, actual in zip(CHECKED, results, strict=True):
            check_equal(what, "ONNX", actual, program(*example(program, rows)))


def need_onnx() -> None:
    """Raise a `UserError` if a package of the extra `onnx` is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format onnx: needs {error.name}, which is not installed; pip install 'mmtoolkit[onnx]', or write "
            "--format torch"
        ) from error


def _translate(exported: ExportedProgram, inputs: list[str], outputs: list[str], path: Path) -> None:
    translated: Any = torch.onnx.export(
        exported,
        (),
        input_names=inputs,
        output_names=outputs,
        dynamo=True,
        verbose=False,
        custom_translation_table={torch.ops.aten.softplus.default: _softplus()},
    )
    graph = translated.model.graph
    number = itertools.count()
    for value in (value for node in graph for value in node.outputs if not value.is_graph_output()):
        value.name = f"value.{next(number)}"  # PyTorch's names for these, such as `mean`, may be those of outputs
    translated.save(path, external_data=False)


def _softplus() -> Callable[..., Any]:
    """A translation of softplus that ONNX Runtime computes in float64 too; it has an operator for float32 alone."""
    from onnxscript import opset18

    op: Any = opset18  # its types forbid numbers of Python

    def softplus(self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        scaled = op.Mul(self, op.CastLike(beta, self))
        rest = op.Log(op.Add(op.Exp(op.Neg(op.Abs(scaled))), op.CastLike(1.0, self)))
        return op.Div(op.Add(op.Relu(scaled), rest), op.CastLike(beta, self))

    return softplus


def _served(path: Path, program: Program, names: list[str], rows: int) -> Tensors:
    """What ONNX Runtime computes of the example with this many rows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pairs = zip(program.inputs, example(program, rows), strict=True)
    results = session.run(names, {slot.name: x.numpy() for slot, x in pairs})
    return {name: torch.from_numpy(x) for name, x in zip(names, results, strict=True)}
