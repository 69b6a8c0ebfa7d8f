"""The report of a participant from the written results: ``sub-01.html``.

`load` holds all results of a participant, as `bids_spheres.outputs` finds and reads them. Each
section of the page has a module that turns these into charts, tables and sentences; `page` joins
them, and `write_pages` writes the pages of all participants. BOLD images are never opened, so that
a report can be written again, years later, from the results alone; input files that still exist
add backgrounds and motion.
"""
