"""fMRIPrep's confounds table and a denoising strategy to a design matrix and a sample mask.

A strategy is data (`strategy`), read from JSON or YAML (`strategy_file`). The columns it names are
looked up (`columns`) in the table of each run, whichever version of fMRIPrep wrote it (`tables`);
`design` turns them into arrays, and chooses the volumes to leave out, with `task` and `motion` for
what no table holds. `preflight` reports everything that is wrong over all runs before the first is
used, `degrees_of_freedom` counts what is left of a run.
"""
