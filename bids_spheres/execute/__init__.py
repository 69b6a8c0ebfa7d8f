"""Items on this machine or on many; a failure becomes a record, and the others go on.

Design
------
An `executor.Executor` applies a function to many items and knows nothing of what they are: `local`
has worker processes of its own, `dask` the workers of a Dask scheduler, wherever these run, once
they have given the `proof` that they are fit. `clusters` starts or finds a scheduler, or has Slurm
start its workers; these two import Dask, when it is needed.
"""
