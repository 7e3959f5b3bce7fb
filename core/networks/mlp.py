"""Multi-layer perceptron 784-500-300-10, the fully connected network of SSL's figure 4a (Wen et al., NIPS 2016).

Every pixel is an input; two hidden layers of 500 and 300 neurons with ReLUs, then the class scores. 545,000 MACs at 1x28x28.
First weights are He's, as in the authors' settings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

HIDDEN = ("fc1", "fc2")


class MLP(nn.Module):
    """fc1, ReLU, fc2, ReLU, fc3 on the flattened image."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, 500)
        self.fc2 = nn.Linear(500, 300)
        self.fc3 = nn.Linear(300, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.fc1(torch.flatten(x, 1)))  # (N, 500)
        x = F.relu(self.fc2(x))  # (N, 300)
        return self.fc3(x)

    def structures(self) -> list[Structure]:
        """The hidden neurons. No norm follows, so the layers' own weights and biases carry the factors."""
        return [Structure(f"{path}/neuron", "neuron", path, getattr(self, path).out_features, path) for path in HIDDEN]

    def outline(self) -> Outline:
        """The network by paths, for drawing: each hidden layer is a level of its own."""
        return Outline((), tuple((path, (BlockOutline(path, "none", (path,)),)) for path in HIDDEN), ("fc3",))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator, hidden=HIDDEN)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The perceptron for images of ``image_size`` pixels a side."""
    return MLP(in_channels * image_size * image_size, num_classes)
