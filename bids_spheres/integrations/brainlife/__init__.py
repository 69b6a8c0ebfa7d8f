"""Run a task on brainlife.io, from its ``config.json`` to the data types that other apps read.

The platform clones an app's repository for every task, writes ``config.json`` into it and starts
the executable ``main`` there. Ours is `bids_spheres/integrations/brainlife/main`, to be copied
into a small repository of its own, so that not all of this one is cloned each time; it calls
``bids-spheres-brainlife`` of an installation or of the container image.

What to register:

======================  ====================  =========================================
input or output         data type             key of config.json, or folder and files
======================  ====================  =========================================
input ``bold``          neuro/func/task       ``bold``: bold.nii.gz
input ``regressors``    neuro/regressors      ``regressors``: regressors.tsv (optional)
input ``mask``          neuro/mask            ``mask``: mask.nii.gz (optional)
output ``timeseries``   generic/timeseries    timeseries.tsv.gz, timeseries.json
output ``conmat``       neuro/conmat          index.json, label.json, csv/
output ``report``       report/html           html/
======================  ====================  =========================================

Inputs may be *multi*: all runs of a participant, distinguished by their metadata. Parameters are
names of options of the command line (``atlas``, ``strategy``, ``space``, ...), lists also as words
in a text; a missing, null or empty one is not given. See ``config.json.sample``.

`task` reads the file and links the inputs under the names that fMRIPrep gives them, `datatypes`
writes the outputs, `product` what the platform shows, and `command` runs it all.
"""
