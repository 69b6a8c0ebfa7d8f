"""fMRIPrep's confounds table and a denoising strategy to a design matrix and a sample mask.

A strategy is data (`strategy`), read from JSON or YAML (`strategy_file`). The columns it names are
looked up (`columns`) in the table of each run, whichever version of fMRIPrep wrote it (`tables`);
`design` turns them into arrays, chooses the volumes to leave out, and reports everything that is
wrong over all runs before the first is used; `task` and `motion` have what no table holds, and
`degrees_of_freedom` counts what is left of a run.
"""
