"""What a phase starts from: fresh weights, those before, another run's, its shape with fresh weights, or a random mask of its shape."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from core.anew import draw_shape
from core.config import Phase, RunConfig
from core.crossing import cross_out_
from core.data.dataset import Dataset
from core.own import draw_anew
from core.shuffled import shuffle_shape_
from core.trained import source_weights


def starting(
    phase: Phase, later: bool, network: nn.Module, config: RunConfig, folder: Path | None, dataset: Dataset
) -> tuple[nn.Module, dict[str, Tensor]]:
    """(The network with the weights to start from, what of it must stay zero by parameter): dead structures of a shape, crossed units.

    `network`: as it is, `later` at the end of the phase before. Raises BadInput where the source has no such weights.
    """
    start = phase.starts_from
    if not later and start in ("source", "shape"):
        network = source_weights(folder, config.source, config, dataset)
    if start == "shape":
        return network, draw_shape(network, config.seed)
    if later and start == "scratch":
        draw_anew(network, config.seed)
    if start == "shuffled":
        return network, shuffle_shape_(network, source_weights(folder, config.source, config, dataset), config.seed)
    return network, cross_out_(network, config.crossed)
