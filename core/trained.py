"""The trained network of a checkpoint: what is cut, timed, asked, and started from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from core import checkpoint, checkpoint_file
from core.config import RunConfig
from core.data import load
from core.data.dataset import Dataset
from core.errors import BadInput
from core.methods import start
from core.nested.knowledge import check_classes, views_of
from core.networks.factors import fold
from core.own import network_for, put_weights


def trained_network(
    file: Path, dataset: Dataset | None = None, data: Path | None = None
) -> tuple[nn.Module, RunConfig, Dataset, int]:
    """The network of a checkpoint in eval mode, its settings, its data set and the epochs it has seen."""
    tensors, facts = checkpoint.load(file)
    config = RunConfig.model_validate(facts["config"])
    dataset = dataset or load(config.dataset, data)
    network = network_for(config.network, dataset, config.seed, file.absolute().parents[2])
    phase = config.phases[facts["phase"]]
    views = views_of(phase.levels, dataset, data)
    check_classes(phase.levels, views, facts.get("classes"))
    weights = {name.removeprefix("weights/"): tensor for name, tensor in tensors.items() if name.startswith("weights/")}
    method = start(phase, network, config.momentum, config.weight_decay, views=views, kept=weights, seed=config.seed)
    put_weights(method.network, weights, str(file))
    if phase.method == "nested" and phase.alone is not None:  # also half-way the network is the level that is trained
        method.finish_()
    return method.network.eval(), config, dataset, facts["epoch"]


def source_weights(folder: Path | None, source: str, config: RunConfig, dataset: Dataset) -> nn.Module:
    """The plain network that run `source`, beside the run's own `folder`, ended with (or has come to).

    Raises BadInput where there is none, or where it is another network or data set.
    """
    rule = "source must name a run in the same runs folder that has a checkpoint"
    file = None if folder is None else checkpoint_file.latest(folder.parent / source / "checkpoints")
    if file is None:
        raise BadInput(f"{rule}; got {source!r}, which has none there; train it first, or take starts_from=scratch")
    theirs = RunConfig.model_validate(checkpoint.load(file)[1]["config"])
    for key in ("network", "dataset"):
        if getattr(theirs, key) != getattr(config, key):
            raise BadInput(
                f"source must be a run of the same {key}; {source} has {getattr(theirs, key)}, this run {getattr(config, key)}; "
                "choose another source"
            )
    return fold(trained_network(file, dataset)[0])
