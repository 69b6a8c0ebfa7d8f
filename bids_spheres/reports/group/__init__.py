"""The report of a group from the results of the group level: ``group.html``.

Design
------
`load` reads the small tables of all groups at once, and matrices only when a section needs them.
Each section of the page has a module that turns these into charts, tables and sentences:
`group_warnings`, `strategies`, `data_quality`, `mean_connectivity`, `tested_pairs`, `seed_maps`,
`multiverse`, `methods_text`; `page` joins them, and limits how many groups have matrices.
Outputs of single participants are not opened but for one brain behind the spheres, so that a page
of a thousand participants takes as long as one of ten, and can be written again from the results.
"""

from bids_spheres.reports.group.load import load_level
from bids_spheres.reports.group.page import PAGE, group_page, write_group_report

__all__ = ["PAGE", "group_page", "load_level", "write_group_report"]
