"""Seed coordinates brought into the space of an image.

`placement` chooses the transforms and applies them: from Talairach coordinates, between templates
with TemplateFlow's files (`templates`), and between templates, anatomical image and BOLD grid with
fMRIPrep's (`fmriprep`). `itk` takes points through both kinds of files.
"""
