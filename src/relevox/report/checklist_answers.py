"""Every answer to a reporting checklist, by its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relevox.report import checklist_design as design
from relevox.report import checklist_findings as findings
from relevox.report import methods
from relevox.report.results import StudyResults

ANSWERS: Mapping[str, Callable[[StudyResults], str]] = {
    function.__name__: function
    for function in (
        design.title,
        design.aim,
        design.dates,
        design.scanners,
        design.eligibility,
        design.treatment,
        design.ethics,
        design.outcome,
        design.predictors,
        design.inputs,
        design.automatic,
        design.sample_size,
        design.partitions,
        design.disjoint,
        design.transformed,
        design.model,
        design.clusters,
        design.updating,
        design.predictions,
        design.imbalance,
        design.output,
        design.code,
        design.specification,
        design.measures,
        design.subsets,
        design.deidentified,
        design.acquisition,
        design.test_annotation,
        design.initial,
        design.selection,
        design.ensemble,
        design.robustness,
        design.explanation,
        findings.headline,
        findings.missing,
        findings.groups,
        findings.external,
        findings.flow,
        findings.characteristics,
        findings.fold_sizes,
        findings.performance,
        findings.cluster_results,
        findings.poor_input,
        findings.failures,
    )
} | {
    "cohort": methods.cohort_text,
    "preparation": methods.preprocessing_text,
    "training": methods.training_text,
    "software": lambda results: methods.software_text(results.versions),
    "limits": findings.all_limits,
}
"""Answers by the key of a checklist's column ``answer``."""
