"""The engine of Espalier: structure learning, exact removal, measurement and the background runs.

Reading order is import order: `errors`, `config`, `events` (no torch), then the mathematics, networks and
data, structure, methods, training, and at last `runs`, the only place that starts processes.
Importing `core` imports no torch.
"""
