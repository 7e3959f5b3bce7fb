"""Exact removal: what is constant or unread leaves a network, and a certificate says that nothing changed."""

from core.structure.certificate import Certificate, verify
from core.structure.compactfile import load, read_header, save
from core.structure.cost import Cost, LayerCost, cost
from core.structure.explain import Explanation, explain
from core.structure.groups import Group
from core.structure.importance import IMPORTANCE
from core.structure.onnxcheck import OnnxCheck
from core.structure.onnxfile import export_onnx
from core.structure.optimizer import apply_with_optimizer
from core.structure.plan import Refilled, RemovalPlan
from core.structure.planning import plan_chosen, plan_target, plan_threshold
from core.structure.pysource import write_source
from core.structure.sparsity import LayerSparsity, sparsity
from core.structure.surgery import apply, remove_zeros
from core.structure.trace import Traced, trace
from core.structure.zeros import plan_zeros

__all__ = [
    "IMPORTANCE",
    "Certificate",
    "Cost",
    "Explanation",
    "Group",
    "LayerCost",
    "LayerSparsity",
    "OnnxCheck",
    "Refilled",
    "RemovalPlan",
    "Traced",
    "apply",
    "apply_with_optimizer",
    "cost",
    "explain",
    "export_onnx",
    "load",
    "plan_chosen",
    "plan_target",
    "plan_threshold",
    "plan_zeros",
    "read_header",
    "remove_zeros",
    "save",
    "sparsity",
    "trace",
    "verify",
    "write_source",
]
