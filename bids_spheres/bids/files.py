"""Files written whole or not at all.

Everything is written to a temporary name in the folder of the target and then renamed, so
that a file under its final name is always complete, whatever happens to the process.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd
    from nibabel.spatialimages import SpatialImage

MISSING = "n/a"
"""How BIDS writes a missing value in a table."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place when the block ends without an error.

    Raises
    ------
    OutputError
        When it can't be written; `path` is then as it was.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error.strerror or error}.",
            hint="Is there room on the disk, and may you write there?",
        ) from error
    finally:
        _discard(temporary)


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # A folder that went away or became read-only: the error raised before tells the story.
        return


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object; NaN, which JSON does not have, becomes null."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a data frame as TSV with a header, without its index; missing is ``n/a``.

    Ten significant digits: more than single precision input carries.
    """
    with replacing(path) as temporary:
        table.to_csv(
            temporary,
            sep="\t",
            index=False,
            na_rep=MISSING,
            float_format="%.10g",
            encoding="utf-8",
            lineterminator="\n",
        )


def write_image(path: Path, img: SpatialImage) -> None:
    """Write an image; the same image gives the same bytes."""
    with replacing(path) as temporary:
        img.to_filename(temporary)


def _plain(value: Any) -> Any:
    """Value without numpy types, as JSON knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
