"""Run a task on brainlife.io, from its ``config.json`` to the data types that other apps read.

The platform starts the executable `main` of this folder, copied into a small repository of its own,
and that calls ``bids-spheres-brainlife``. docs/how-to/brainlife.md says what to register there.
`task` reads the file, of which ``config.json.sample`` is an example, and links the inputs under the
names that fMRIPrep gives them; `datatypes` writes the outputs, `product` what the platform shows.
"""
