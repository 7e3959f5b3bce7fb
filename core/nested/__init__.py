"""NestedNet (Kim et al., CVPR 2018, arXiv 1712.03781): n networks in one, the smaller inside the larger."""

from core.nested.levels import Nested, extract, nest
from core.nested.scheduling import Schedule

__all__ = ["Nested", "Schedule", "extract", "nest"]
