"""What tests of the input share."""

from __future__ import annotations

from bids_spheres.inputs.selection import Filter, Selection
from bids_spheres.settings.table import Selected


def select(others=(), **labels):
    """A selection of labels by entity; `others` come from a filter file."""
    option_of = {"ses": "session_label", "sub": "participant_label", "task": "task_label"}
    named = Selected(**{option_of.get(key, key): values for key, values in labels.items()}).named()
    return Selection(
        tuple(Filter(*option) for option in named),
        tuple(Filter("--bids-filter-file", key, values) for key, values in others),
    )
