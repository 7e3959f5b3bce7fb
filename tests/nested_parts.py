"""What the tests of nested networks share: small networks that have seen something, phases, and runs on digits."""

import shutil

import torch
from safetensors.torch import load_file
from torch import nn

from core import training
from core.config import checked
from core.methods.nested import nested_for
from core.networks import build
from core.phases import Phase

SIDE = {"lenet": (1, 16), "mlp": (1, 8)}  # channels and side of an image; else (3, 8)


def network(name, seed=0, classes=10):
    """A network and images for it, (8, C, H, W)."""
    channels, side = SIDE.get(name, (3, 8))
    generator = torch.Generator().manual_seed(seed)
    made = build(name, num_classes=classes, in_channels=channels, image_size=side, generator=generator)
    return made, torch.randn(8, channels, side, side, generator=generator)


@torch.no_grad()
def disturbed(model, seed=1):
    """Norms that have seen something, every level its own; in eval mode."""
    g = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            ranges = {"weight": (0.5, 1.5), "bias": (-1, 1), "running_mean": (-1, 1), "running_var": (0.5, 2)}
            for name, (low, high) in ranges.items():
                if isinstance(getattr(module, name), torch.Tensor):
                    getattr(module, name).uniform_(low, high, generator=g)
    return model.eval()


def phase(*levels, **settings):
    """A phase of the method nested with these levels and the full one."""
    return Phase.model_validate({"method": "nested", "kinds": [], "levels": [*levels, {}], **settings})


def nested(name, *levels, views=(), **settings):
    """(the levels of such a phase inside a network, images)."""
    full, images = network(name)
    made = nested_for(phase(*levels, **settings), disturbed(full), views, {})
    disturbed(full)
    return made, images


def config(*phases, **settings):
    """Settings of a short run on digits."""
    plain = {"network": "mlp", "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 128}
    return checked(plain | settings | {"phases": list(phases)})


def joint(*levels, **settings):
    """Such a phase as plain data, short."""
    plain = {
        "method": "nested",
        "kinds": [],
        "epochs": 1,
        "lr": 0.05,
        "lr_schedule": "constant",
        "levels": [*levels, {}],
    }
    return plain | settings


def trained(settings, folder, resume=False):
    """(tensors of the last checkpoint, watched epochs) of a run up to its end, which is not cut or timed."""
    watched = []
    for event in training.run(settings, folder=folder, resume=resume):
        if event.type == "epoch_done":
            watched.append(event)
        if event.type == "checkpointed" and event.epoch == settings.epochs:
            break
    return load_file(folder / "checkpoints" / f"{settings.epochs:05d}.safetensors"), watched


def resumed(settings, folder, epoch):
    """The tensors that a run has at its end when it goes on from a checkpoint of `folder`, in a folder beside."""
    again = folder.parent / f"{folder.name}-from-{epoch}"
    (again / "checkpoints").mkdir(parents=True)
    shutil.copy(folder / "checkpoints" / f"{epoch:05d}.safetensors", again / "checkpoints")
    return trained(settings, again, resume=True)[0]


def same(a, b):
    """Whether two sets of tensors are the same to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
