"""The control: the same network trained equally long without structure learning."""

from __future__ import annotations

from core.methods.base import MethodRun


class Dense(MethodRun):
    """Plain SGD; survival shows the norm of every filter, and nothing drives any to zero."""
