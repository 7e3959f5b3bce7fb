"""The control: the same network trained equally long without structure learning. Nothing dies."""

from __future__ import annotations

import numpy as np

from core.methods.base import MethodRun, Survival


class Dense(MethodRun):
    """Plain SGD; survival shows the norm of every filter, all alive."""

    def survival(self) -> Survival:
        """Norms of all units; every one alive."""
        values = self.layer_norms()
        return Survival(values, np.ones(len(values), "u1"))
