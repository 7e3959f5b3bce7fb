"""Exact removal: what is constant or unread leaves a network, and a certificate says that nothing changed."""

from core.structure.certificate import Certificate, verify
from core.structure.compactfile import load, read_header, save
from core.structure.cost import Cost, LayerCost, cost
from core.structure.plan import Refilled, RemovalPlan, plan_zeros
from core.structure.surgery import apply
from core.structure.trace import Traced, trace

__all__ = [
    "Certificate",
    "Cost",
    "LayerCost",
    "Refilled",
    "RemovalPlan",
    "Traced",
    "apply",
    "cost",
    "load",
    "plan_zeros",
    "read_header",
    "save",
    "trace",
    "verify",
]
