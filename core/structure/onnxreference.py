"""ONNX's reference evaluator in float64: NumPy, one operation after the other, mended where it computes something else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def evaluator(model: Any) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """A function from named inputs to outputs. `model`: an onnx.ModelProto. Mended (onnx 1.23.2, each seen to fail):

    Erf goes through float32; cubic Resize too, by its coefficient; ConvTranspose reads wrong weights where it has groups;
    Pad cannot cut, which is what a negative width says.
    """
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun
    from onnx.reference.ops import op_conv_transpose, op_pad, op_resize

    class Erf(OpRun):
        def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
            return (np.vectorize(math.erf, otypes=[x.dtype])(x),)

    class Resize(op_resize.Resize):
        def _run(self, *inputs: Any, **settings: Any) -> Any:
            return super()._run(*inputs, **settings | {"cubic_coeff_a": float(settings["cubic_coeff_a"])})

    class ConvTranspose(op_conv_transpose.ConvTranspose):
        def _run(self, *inputs: Any, **settings: Any) -> Any:
            x, w, b = (*inputs, None)[:3]
            group, parts = settings.pop("group") or 1, []
            for i, (xs, ws) in enumerate(zip(np.split(x, group, 1), np.split(w, group, 0), strict=True)):
                bias = None if b is None else np.split(b, group)[i]
                parts.append(super()._run(xs, ws, bias, group=1, **settings)[0])
            return (np.concatenate(parts, 1),)

    class Pad(op_pad.Pad_18):
        def _run(self, *inputs: Any, **settings: Any) -> Any:
            x, widths, value, axes = (*inputs, None, None)[:4]
            axes = range(x.ndim) if axes is None else axes
            for axis, before, after in zip(axes, widths, widths[len(axes) :], strict=False):
                x = np.take(x, np.arange(max(0, -before), x.shape[axis] - max(0, -after)), axis)
            return super()._run(x, np.maximum(widths, 0), value, axes, **settings)

    session = ReferenceEvaluator(model, new_ops=[Erf, Resize, ConvTranspose, Pad])
    return lambda inputs: [np.asarray(output) for output in session.run(None, inputs)]
