"""Leaves out of a traced program the weights that it does not read."""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def prune(exported: ExportedProgram) -> None:
    """Remove, in place, the weights that no operation reads: a trace holds those of all networks of a module."""
    places = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    specs = exported.graph_signature.input_specs
    unread = [spec for spec in specs if spec.kind in _WEIGHTS and not places[spec.arg.name].users]
    for spec in unread:
        exported.graph.erase_node(places[spec.arg.name])
        for tensors in (exported.state_dict, exported.constants):
            tensors.pop(spec.target, None)
        specs.remove(spec)
    exported.graph_module.recompile()
