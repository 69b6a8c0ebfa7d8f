"""Process items on this machine or on many; a failure becomes a record and does not stop others.

An `executor.Executor` applies a function to many items and does not know what they are. `local` has
worker processes of its own; `dask` uses the workers of a Dask scheduler, once they have given the
`proof` that they see the same files and software. `clusters` starts or finds a scheduler, or has
Slurm start its workers. The last two import Dask when it is needed.
"""
