"""Self-contained HTML pages: geometry of slices, figures, templates, and the page as a value.

Design
------
`geometry` knows millimetres, voxels and pixels and draws nothing; `figures` turns pixels and
ink into PNG data URIs; `spheres` draws seeds with both. `render` fills the templates, `html`
holds the finished page. `facts` is what `NiftiSpheresMasker` knows, `masker` its page; other
reports can use the other modules as they are.
"""
