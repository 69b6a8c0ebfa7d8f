"""A denoising strategy as a value: what to remove, not from which table.

Component names (`motion`, `wm_csf`, ...) and column names or patterns are looked up in each run's
table later, so that one strategy serves every version of fMRIPrep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Expansion = Literal["basic", "power2", "derivatives", "full"]
"""Expansion of a column: itself, with its square, its backward difference, or all four."""

EXPANSIONS: dict[Expansion, tuple[str, ...]] = {
    "basic": ("",),
    "power2": ("", "_power2"),
    "derivatives": ("", "_derivative1"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
"""Suffixes of fMRIPrep's column names, in the order in which we list them."""

BOLD_KINDS = (
    "preproc",
    *("smoothAROMAnonaggr", "nonaggrDenoised", "aggrDenoised", "orthaggrDenoised"),
    *("optcom", "denoised"),
)
"""Values of ``desc`` that a BOLD file can have: fMRIPrep's, fMRIPost-AROMA's and tedana's."""

SMOOTHED_BEFORE = {"smoothAROMAnonaggr": 6.0}
"""Full width at half maximum by which images of a ``desc`` were smoothed when they were made, mm.

fMRIPrep before 23.1 wrote images smoothed by FSL's SUSAN (``init_ica_aroma_wf``, ``susan_fwhm``).
fMRIPost-AROMA removes components from images not smoothed (``init_denoise_wf``); nor does tedana.
"""

BUTTERWORTH_ORDER = 5  # nilearn's; xcp_d takes 2


@dataclass(frozen=True)
class CompCor:
    """The first `n` CompCor components of every mask of a kind in `columns.MASKS_OF`."""

    mask: str
    n: int | Literal["all"] = "all"


@dataclass(frozen=True)
class Censor:
    """Which volumes to censor, besides those before the magnetization is steady.

    Thresholds, of which None is off: framewise displacement in mm, standardized DVARS, and the root
    mean square displacement of Jenkinson et al. 2002 (doi:10.1006/nimg.2002.1132), fMRIPrep's
    column ``rmsd``, in mm. `combine` says whether one or all that are given must be exceeded (as in
    Power et al. 2012). `before` and `after` are volumes censored with each outlier. Stretches
    between censored volumes or an edge of the run that are shorter than `min_segment` are censored
    too (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018); 0 is off. Non-steady volumes
    count in the length of the first stretch, as in nilearn.
    """

    fd_threshold: float | None = None
    std_dvars_threshold: float | None = None
    before: int = 0
    after: int = 0
    min_segment: int = 0
    rmsd_threshold: float | None = None
    combine: Literal["any", "all"] = "any"


@dataclass(frozen=True)
class TemporalFilter:
    """A band that passes, Hz: by a Butterworth filter of `order`, or cosines regressed out."""

    high_pass: float | None = None
    low_pass: float | None = None
    type: Literal["butterworth", "cosine"] = "butterworth"
    order: int = BUTTERWORTH_ORDER


HRF_MODELS = tuple(
    f"{name}{derivatives}"
    for name in ("glover", "spm")
    for derivatives in ("", " + derivative", " + derivative + dispersion")
)
"""Haemodynamic responses, by nilearn's names."""


@dataclass(frozen=True)
class Task:
    """Responses to the events of a run that are regressed out.

    `model` is a haemodynamic response (`hrf`, one of `HRF_MODELS`) or a finite impulse response of
    any shape. Its `window` in s is counted from the onset of events, and as long after their end:
    18 s in Cole et al. 2019, doi:10.1016/j.neuroimage.2018.12.054.
    """

    model: Literal["hrf", "fir"]
    hrf: str = "glover"
    window: float = 18.0


MOTION_FILTERS = {"gratton2020": "lowpass:6", "fair2020": "notch:18.6:25.8"}
"""Motion filters by name, in breaths a minute: below 0.1 Hz (Gratton et al. 2020,
doi:10.1016/j.neuroimage.2020.116866), and without 0.31 to 0.43 Hz (Fair et al. 2020,
doi:10.1016/j.neuroimage.2019.116400)."""

HEAD_RADIUS = 50.0  # mm; fMRIPrep's, of Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018


@dataclass(frozen=True)
class HeadMotion:
    """How framewise displacement is measured, where fMRIPrep's is not used.

    `filter` of realignment parameters is one of `MOTION_FILTERS`, ``lowpass:BPM`` or
    ``notch:LOW:HIGH`` in breaths a minute; None is off. `head_radius` is in mm; "auto" is the
    radius of a sphere of the volume of the participant's brain. With `filter_regressors`
    realignment parameters among the regressors are filtered as well.
    """

    filter: str | None = None
    head_radius: float | Literal["auto"] = HEAD_RADIUS
    filter_regressors: bool = False

    @property
    def stop_band(self) -> tuple[float, float]:
        """What the filter takes away, Hz; a low-pass filter up to infinity."""
        _, *edges = MOTION_FILTERS.get(self.filter or "", self.filter or "").split(":")
        low, high = (float(edge) / 60 for edge in [*edges, "inf"][:2])
        return low, high


@dataclass(frozen=True)
class Strategy:
    """A named way to remove confounds.

    `name` (letters and digits) goes into output names as ``desc-<name>``, `description` is a
    sentence for the methods text. `confounds` are column names, or regular expressions that start
    with ``^``. `motion`, `wm_csf` and `global_signal` expand the realignment parameters and mean
    signals. `high_pass` takes fMRIPrep's cosine columns, which take out slow drifts;
    "unless_filtered" leaves them to `filter` when that has a high-pass edge. `ica_aroma` "full"
    needs a BOLD file that is already denoised, and no column; "basic" takes the time courses of
    noise components, "orthogonal" what signal components don't explain of them; `tedana` does the
    same for components that tedana rejected. A run with fewer volumes left than `min_volumes`, or
    less time than `min_seconds`, is excluded. `bold` has the ``desc`` of the BOLD file, the best
    first; `bold_kinds` has the default. `source` is its file, for messages.
    """

    name: str
    description: str
    confounds: tuple[str, ...] = ()
    motion: Expansion | None = None
    wm_csf: Expansion | None = None
    global_signal: Expansion | None = None
    high_pass: bool | Literal["unless_filtered"] = False
    compcor: CompCor | None = None
    ica_aroma: Literal["full", "basic", "orthogonal"] | None = None
    tedana: Literal["aggressive", "orthogonal"] | None = None
    task: Task | None = None
    head_motion: HeadMotion | None = None
    censor: Censor = field(default_factory=Censor)
    filter: TemporalFilter | None = None
    min_volumes: int | None = None
    min_seconds: float | None = None
    bold: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"strategy {self.name} ({self.source})" if self.source else f"strategy {self.name}"

    @property
    def wants_cosines(self) -> bool:
        """Whether fMRIPrep's cosine columns are asked for, with this filter."""
        filtered = self.filter is not None and self.filter.high_pass is not None
        return self.high_pass is True or (bool(self.high_pass) and not filtered)

    @property
    def needs_brain_mask(self) -> bool:
        """Whether the head has the radius of the participant's brain."""
        return self.head_motion is not None and self.head_motion.head_radius == "auto"

    @property
    def needs_table(self) -> bool:
        """Whether it can't be applied to a run without a confounds table."""
        rules = self.censor
        thresholds = (rules.fd_threshold, rules.std_dvars_threshold, rules.rmsd_threshold)
        columns = (self.confounds, self.motion, self.wm_csf, self.global_signal, self.compcor)
        aroma = self.ica_aroma not in (None, "full")
        others = (self.wants_cosines, self.tedana, aroma, self.head_motion)
        return any((*columns, *others)) or any(limit is not None for limit in thresholds)

    def accepts(self, n_kept: int, t_r: float) -> bool:
        """Whether a run of `n_kept` volumes, every `t_r` s, is as long as the strategy asks for."""
        return 0 < n_kept >= (self.min_volumes or 0) and n_kept * t_r >= (self.min_seconds or 0)

    @property
    def bold_kinds(self) -> tuple[str, ...]:
        """``desc`` of the BOLD files it can start from, the best first."""
        if self.bold:
            return self.bold
        if self.ica_aroma == "full":
            # fMRIPrep < 23.1 wrote the first, fMRIPost-AROMA writes the second.
            return ("smoothAROMAnonaggr", "nonaggrDenoised")
        return ("optcom",) if self.tedana else ("preproc",)
