"""What a user reads of an error, and the exit status that goes with it."""

from __future__ import annotations

from bids_spheres.errors import (
    FAULT,
    READ_WRITE_FAILED,
    BidsSpheresError,
    TemporaryError,
    printable,
)
from bids_spheres.execute.memory_limits import MORE_MEMORY, is_out_of_memory


def describe_error(error: BaseException) -> tuple[str, int]:
    """Message and exit status of an error, whether it is one of ours or not."""
    if isinstance(error, BidsSpheresError):
        return str(error), error.exit_status
    if is_out_of_memory(error):
        return f"Out of memory.\n  hint: {MORE_MEMORY}", TemporaryError.exit_status
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return printable(f"{where}{error.strerror or error}."), READ_WRITE_FAILED
    fault = printable(f"unexpected {type(error).__name__}: {error}")
    hint = "That is a fault of this program or of a library; please report what --debug shows."
    return f"{fault}\n  hint: {hint}", FAULT
