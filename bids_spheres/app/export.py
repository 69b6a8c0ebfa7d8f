"""Export a selection of results for other programs."""

from __future__ import annotations

from argparse import Namespace

from bids_spheres.app.group_level import selection
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.errors import UsageError
from bids_spheres.outputs.export import export
from bids_spheres.outputs.results import open_results
from bids_spheres.settings import GROUP
from bids_spheres.wording import count


def export_results(options: Namespace) -> int:
    """Write what the options of `export_parser` select, and print a line for each format."""
    results, folder = open_results(options.output_dir), options.folder
    if folder.resolve().is_relative_to(results.root.resolve()):
        raise UsageError(
            f"{folder} lies in the results.", hint="Choose a folder outside of the dataset."
        )
    # Options that do not select have their defaults.
    root = str(options.output_dir)
    others = vars(main_parser().parse_args([root, root, GROUP]))
    settings = settings_of(Namespace(**{**others, **vars(options)}))
    part = results.select(**{key: labels for key, labels in selection(settings) if labels})
    for form in dict.fromkeys(options.format):
        number = export(part, folder, form, timeseries=options.timeseries, stacked=options.stacked)
        print(f"{form}: {count(number, 'file')} in {folder}")
    return 0
