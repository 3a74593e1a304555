"""Folds, scores, comparisons, calibration, cohort tables, region tables, voxel-wise regression."""
