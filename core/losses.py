"""Why a cut layer is slower than its MACs promise: rules of thumb from shapes and counts alone. No torch.

In the order in which they are asked; the first that holds is the reason. Arithmetic intensity is operations over bytes moved
(Williams, Waterman & Patterson, Roofline, 2009), with every number moved once, in float32.
"""

from __future__ import annotations

import math

from core.config import Frozen

LAUNCH_MACS = 1_000_000
INTENSITY = 10.0
LANES = 16
BYTES = 4

RULES = {
    "gone": "the whole operation left: nothing is computed any more",
    "same shape": "nothing was cut from it: the two times differ by chance or by what runs around it",
    "launch-bound": "less than 1 million MACs a batch: starting the operation takes as long as computing it",
    "memory-bound": "less than 10 operations for each byte moved (2 a MAC; inputs, outputs and weights once, 4 bytes each): it waits for memory",
    "odd width": "channels in or out are no multiple of 16, the numbers of an AVX-512 register (8 with AVX2): its lanes run partly empty",
    "no rule": "no rule of shape holds: measure again on a quiet machine",
}  # fmt: skip


class LayerShape(Frozen):
    """A convolution or linear layer: channels in and out, MACs an image, and how many numbers it reads and writes an image."""

    in_channels: int
    out_channels: int
    macs: int
    inputs: int
    outputs: int
    weights: int

    def intensity(self, batch: int) -> float:
        """Operations (two a MAC) for each byte moved, of a batch."""
        moved = BYTES * (batch * (self.inputs + self.outputs) + self.weights)
        return 2 * self.macs * batch / max(1, moved)

    @property
    def lanes(self) -> float:
        """The share (0-1) of the vector lanes in use where channels are padded to a multiple of 16, of the worse side."""
        return min(width / (LANES * math.ceil(width / LANES)) for width in (self.in_channels, self.out_channels))


def reason(dense: LayerShape, compact: LayerShape | None, batch: int) -> tuple[str, str]:
    """(a key of RULES, the numbers behind it) for one layer before and after the cut, at a batch of that many images."""
    if compact is None:
        return "gone", ""
    if compact == dense:
        return "same shape", ""
    macs = compact.macs * batch
    if macs < LAUNCH_MACS:
        return "launch-bound", f"{macs / 1e6:.2g} M MACs a batch"
    if compact.intensity(batch) < INTENSITY:
        return "memory-bound", f"{compact.intensity(batch):.1f} operations a byte"
    if compact.lanes < min(1.0, dense.lanes):
        return "odd width", f"{compact.in_channels} in, {compact.out_channels} out: {compact.lanes:.0%} of the lanes"
    return (
        "no rule",
        f"{compact.in_channels} in, {compact.out_channels} out, {compact.intensity(batch):.0f} operations a byte",
    )
