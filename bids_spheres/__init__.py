"""From fMRIPrep's output to time series and connectivity of spheres around seeds."""

__version__ = "0.1.0"
