"""Points of a table, seed by seed, from presets."""

from __future__ import annotations

from typing import Any

from core.config import RunConfig, with_settings
from core.evidence.wanted import Wanted, with_controls, with_level_controls
from core.presets import preset

THREE = (0, 1, 2)


def settings(name: str, **changes: Any) -> RunConfig:
    """A preset's settings with changes."""
    return with_settings(preset(name).config, changes)


def seeded(config: RunConfig, seeds: tuple[int, ...] = THREE) -> list[RunConfig]:
    """The settings with each seed."""
    return [config.model_copy(update={"seed": seed}) for seed in seeds]


def controlled(
    stem: str, point: str, config: RunConfig, seeds: tuple[int, ...] = THREE, tried: int = 1, **controls: Any
) -> list[Wanted]:
    """A point with its controls (`wanted.with_controls`), seed by seed."""
    return [w for one in seeded(config, seeds) for w in with_controls(stem, point, one, tried, **controls)]


def nested(stem: str, point: str, config: RunConfig, **controls: Any) -> list[Wanted]:
    """A nested run with its controls (`wanted.with_level_controls`), seed by seed."""
    return [w for one in seeded(config) for w in with_level_controls(stem, point, one, **controls)]
