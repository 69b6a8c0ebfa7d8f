"""Options, each declared once, and the frozen settings that they make."""

from bids_spheres.settings.option import Declared, Option, build, declared_options, option
from bids_spheres.settings.table import (
    DEFAULT_STRATEGY,
    GROUP,
    MASKS,
    PARTICIPANT,
    Execution,
    GroupChoices,
    Level,
    Processing,
    Selected,
    Settings,
    StrategyChanges,
    settings_that_affect,
    sidecar_keys,
    sidecar_of,
)
from bids_spheres.settings.values import OFF

__all__ = [
    "DEFAULT_STRATEGY",
    "GROUP",
    "MASKS",
    "OFF",
    "PARTICIPANT",
    "Declared",
    "Execution",
    "GroupChoices",
    "Level",
    "Option",
    "Processing",
    "Selected",
    "Settings",
    "StrategyChanges",
    "build",
    "declared_options",
    "option",
    "settings_that_affect",
    "sidecar_keys",
    "sidecar_of",
]
