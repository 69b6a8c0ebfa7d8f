"""Make the transforms beside this file with SimpleITK, which is not needed for the tests.

Run as ``python make_transforms.py TEMPLATEFLOW_HOME``, with T1w of res-02 of both MNI152 templates
in the home. SimpleITK 2.5.7 (ITK 5.4) made the files that are here.

- ``composite.h5``, ``affine.h5``, ``affine.txt``, ``affine.mat``: as ITK writes them
- ``truth.json``: where ITK takes points through them, and where a blob of an image lies before and
  after ITK resampled the image with ``composite.h5``; millimetres, RAS
- ``tpl-...xfm.h5``: MNI152NLin6Asym registered to MNI152NLin2009cAsym with ITK; a coarse stand-in
  for TemplateFlow's transform of that name
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its documentation writes it

HERE = Path(__file__).parent
FLIP = np.array([-1.0, -1.0, 1.0])


def affine():
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([1.05, 0.1, 0.02, -0.08, 0.97, 0.05, 0.03, -0.06, 0.94])
    transform.SetCenter((3.25, -4.5, 5.125))
    transform.SetTranslation((6, -7, 8))
    return transform


def oblique_field():
    """Random displacements on a grid turned around two axes."""
    numbers = np.random.default_rng(7).normal(0, 2, (5, 7, 6, 3))
    field = sitk.GetImageFromArray(numbers, isVector=True)
    field.SetSpacing((9, 10, 12))
    field.SetOrigin((-25, -28, -20))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, 0, -0.3)
    field.SetDirection(turn.GetMatrix())
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))


def blob(centre):
    """Image with a Gaussian blob, on a grid of 2 mm."""
    axes = np.meshgrid(*[np.arange(-60, 61, 2.0)] * 3, indexing="ij")
    square = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    image = sitk.GetImageFromArray(np.exp(-square / 8).transpose(2, 1, 0))
    image.SetSpacing((2, 2, 2))
    image.SetOrigin((-60, -60, -60))
    return image


def centre_of_mass(image):
    """LPS, mm."""
    weights = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    index = np.indices(weights.shape).reshape(3, -1) @ weights.ravel() / weights.sum()
    return np.asarray(image.TransformContinuousIndexToPhysicalPoint(index.tolist()))


def through(transform, points):
    return [(FLIP * transform.TransformPoint((FLIP * p).tolist())).tolist() for p in points]


def register(fixed, moving):
    """Affine, then B-splines; takes points of the fixed image to the moving one."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 50, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    linear = sitk.AffineTransform(3)
    method.SetInitialTransform(linear, inPlace=True)
    method.Execute(fixed, moving)
    splines = sitk.BSplineTransformInitializer(fixed, [6, 7, 6])
    method.SetMovingInitialTransform(linear)
    method.SetInitialTransform(splines, inPlace=True)
    method.SetOptimizerAsLBFGSB(1e-6, 20, maximumNumberOfFunctionEvaluations=30)
    method.Execute(fixed, moving)
    return linear, splines


def sampled(transform, image, spacing=14.0):
    """Displacement field of a transform on a coarse grid over an image."""
    size = [
        int(np.ceil(n * s / spacing))
        for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    return sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        size,
        image.GetOrigin(),
        [spacing] * 3,
        image.GetDirection(),
    )


def compress(path):
    """Single precision and deflated, as ANTs writes them."""
    with h5py.File(path, "a") as file:
        member = file["TransformGroup/2"]
        numbers = member["TransformParameters"][()].astype(np.float32)
        del member["TransformParameters"], member["TransformType"]
        member["TransformType"] = [b"DisplacementFieldTransform_float_3_3"]
        member.create_dataset(
            "TransformParameters", data=numbers, chunks=(4096,), compression=9, shuffle=True
        )


def make_templates(home):
    names = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
    fixed, moving = (
        sitk.ReadImage(str(home / f"tpl-{n}" / f"tpl-{n}_res-02_T1w.nii.gz"), sitk.sitkFloat32)
        for n in names
    )
    linear, splines = register(sitk.BinShrink(fixed, [2] * 3), sitk.BinShrink(moving, [2] * 3))
    field = sitk.DisplacementFieldTransform(sampled(splines, fixed))
    path = HERE / f"tpl-{names[0]}_from-{names[1]}_mode-image_xfm.h5"
    sitk.WriteTransform(sitk.CompositeTransform([linear, field]), str(path) + ".tmp.h5")
    tmp = Path(str(path) + ".tmp.h5")
    compress(tmp)
    with h5py.File(tmp) as old, h5py.File(path, "w") as new:
        for name in old:
            old.copy(name, new)
    tmp.unlink()


def make_small():
    composite = sitk.CompositeTransform([affine(), oblique_field()])
    sitk.WriteTransform(composite, str(HERE / "composite.h5"))
    for ending in ("h5", "txt", "mat"):
        sitk.WriteTransform(affine(), str(HERE / f"affine.{ending}"))
    # Inside the field, near its border and outside of it.
    points = np.random.default_rng(8).uniform(-45, 45, (40, 3)).round(3)
    before = np.array([8.0, -6.0, 4.0])
    image = blob(before)
    after = centre_of_mass(sitk.Resample(image, image, composite, sitk.sitkLinear))
    truth = {
        "points": points.tolist(),
        "composite": through(composite, points),
        "affine": through(affine(), points),
        "blob": {"before": (FLIP * before).tolist(), "after": (FLIP * after).tolist()},
    }
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    make_small()
    make_templates(Path(sys.argv[1]))
