"""NestedNet (Kim et al., CVPR 2018, arXiv 1712.03781): n networks in one, the smaller inside the larger."""

from core.nested.budget import Adaptive
from core.nested.levels import Nested
from core.nested.nesting import Making, extract, nest, nest_masks
from core.nested.scheduling import Schedule

__all__ = ["Adaptive", "Making", "Nested", "Schedule", "extract", "nest", "nest_masks"]
