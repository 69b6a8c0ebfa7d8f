"""fMRIPrep's confounds table and a denoising strategy to a design matrix and a sample mask.

A strategy is data (`strategy`, read by `strategy_file`). The columns it names are looked up
(`columns`) in the table of each run (`tables`), or made (`task`, `motion`); `design` turns them
into arrays, and `degrees_of_freedom` counts what is left of a run.
"""
