"""Self-contained HTML pages: geometry of slices, figures, charts, and templates.

`geometry` computes places in millimetres, voxels and pixels; `figures` turns pixels and lines into
PNG data URIs; `sphere_figures` draws spheres with both. `charts` are vector graphics: `matrices`,
`distributions` and `connectome` are kinds of them. `render` has the parts of a page, fills the
templates, and saves and shows the page.
"""
