"""The methods section of a paper for the settings of a call, with its citations.

`citation` has the settings and the sentences up to the signals, `denoising` those on strategies,
only for what was done. `references` reads the bibliography that ships with the package and turns
citation keys into words. Text is Markdown with the citation keys of pandoc,
``[@power2011; @ciric2017]``; texts of users are escaped.
"""
