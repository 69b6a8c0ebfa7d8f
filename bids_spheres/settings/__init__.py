"""Options, each declared once, and the frozen settings that they make."""

from bids_spheres.settings.option import Declared, build, declared_options, option
from bids_spheres.settings.table import (
    GROUP,
    MASKS,
    PARTICIPANT,
    Execution,
    GroupChoices,
    Level,
    Processing,
    Selected,
    Settings,
    methods_of,
    settings_that_affect,
    sidecar_keys,
    sidecar_of,
)
from bids_spheres.settings.values import OFF

__all__ = [
    "GROUP",
    "MASKS",
    "OFF",
    "PARTICIPANT",
    "Declared",
    "Execution",
    "GroupChoices",
    "Level",
    "Processing",
    "Selected",
    "Settings",
    "build",
    "declared_options",
    "methods_of",
    "option",
    "settings_that_affect",
    "sidecar_keys",
    "sidecar_of",
]
