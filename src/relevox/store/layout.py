"""Every file name of a study, in one table of patterns.

``{participant}`` and ``{session}`` carry their BIDS prefixes. A pattern that
starts with ``{scan}/`` lives in the scan's folder; ``{key}`` is
``sub-001_ses-01``, or ``sub-001`` where a data set has no sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from relevox.errors import StudyError
from relevox.records import ScanId

PATTERNS: dict[str, str] = {
    # the study
    "description": "dataset_description.json",
    "settings": "study.toml",
    "lock": ".relevox.lock",
    "provenance": "provenance/{stage}/{unit}.json",
    "cohort": "cohort.tsv",
    "cohort_card": "cohort.json",
    "flow": "flow.tsv",
    "folds": "folds.tsv",
    "characteristics": "characteristics.tsv",
    "acquisition": "acquisition.tsv",
    "volumes": "volumes.tsv",
    "quality": "quality.tsv",
    "quality_page": "report/quality.html",
    "quality_decisions": "quality_decisions.tsv",  # written by a person, from that page
    # one preprocessed scan
    "t1w": "{scan}/anat/{key}_space-{space}_desc-preproc_T1w.nii.gz",
    "flair": "{scan}/anat/{key}_space-{space}_desc-preproc_FLAIR.nii.gz",
    "brain_mask": "{scan}/anat/{key}_space-{space}_desc-brain_mask.nii.gz",
    "lesion_mask": "{scan}/anat/{key}_space-{space}_label-lesion_mask.nii.gz",
    "jacobian": "{scan}/anat/{key}_space-{space}_desc-jacobian_map.nii.gz",
    "regions": "{scan}/anat/{key}_space-{space}_desc-regions_dseg.nii.gz",
    "flair_to_t1w": "{scan}/anat/{key}_from-FLAIR_to-T1w_mode-image_xfm.txt",
    "t1w_to_template": "{scan}/anat/{key}_from-T1w_to-{space}_mode-image_desc-affine_xfm.txt",
    "t1w_to_template_warp": "{scan}/anat/{key}_from-T1w_to-{space}_mode-image_desc-warp_xfm.nii.gz",
    "measures": "{scan}/anat/{key}_desc-measures.json",
    "overlay": "{scan}/figures/{key}_desc-{desc}_overlay.png",
    # models
    "inputs": "models/inputs.npy",
    "inputs_index": "models/inputs.tsv",
    "model_weights": "models/fold-{fold}/weights.safetensors",
    "model": "models/fold-{fold}/model.json",
    "checkpoint": "models/fold-{fold}/checkpoint.safetensors",  # of an unfinished training
    "tensorboard": "tensorboard/fold-{fold}",  # a folder, when it was asked for
    "history": "models/fold-{fold}/history.tsv",
    "baselines": "models/fold-{fold}/baselines.json",
    "subsets": "models/fold-{fold}/subsets.json",
    "leak_audit": "models/leak_audit.tsv",
    # an external cohort: a study folder of its own, without models, and every model's answer to a scan
    "external": "external/{name}",
    "votes": "{scan}/predictions/{key}_desc-votes.json",
    # predictions
    "predictions": "predictions/{cohort}_predictions.tsv",
    "scores": "scores.tsv",
    "comparisons": "comparisons.tsv",
    "calibration": "calibration.tsv",
    "summary": "evaluation/summary.tsv",
    "subset_scores": "evaluation/subsets.tsv",
    "confounds": "evaluation/confounds.tsv",
    "stratified": "evaluation/stratified_auc.tsv",
    "left_out_scanners": "evaluation/left_out_scanners.tsv",
    "balance": "evaluation/balance.tsv",
    "temperatures": "evaluation/temperatures.tsv",
    "reliability": "evaluation/reliability.tsv",
    "decision_curves": "evaluation/decision_curves.tsv",
    "conformal": "evaluation/conformal.tsv",
    "subgroups": "evaluation/subgroups.tsv",
    "interactions": "evaluation/interactions.tsv",
    "posthoc": "evaluation/posthoc.tsv",
    # attention maps
    "relevance": "attribution/{scan}/{key}_space-{space}_desc-{method}_relevance.nii.gz",
    "relevance_card": "attribution/{scan}/{key}_space-{space}_desc-{method}_relevance.json",
    "occlusion": "attribution/{scan}/{key}_desc-occlusion_regions.tsv",
    # whether the maps can be believed
    "checks_fold": "checks/fold-{fold}_checks.tsv",
    "checks": "checks/checks.tsv",
    "checks_summary": "checks/checks_summary.tsv",
    # group analysis
    "group_map": "analysis/group-{group}_desc-{desc}_{statistic}.nii.gz",
    "group_stack": "analysis/.stack/{desc}.npy",
    "analysis_regions": "analysis/regions.tsv",
    "analysis_scan_regions": "analysis/scan_regions.tsv",
    "analysis_by_scan": "analysis/by_scan/desc-{desc}_{measure}.tsv",
    "analysis_occlusion": "analysis/occlusion.tsv",
    "analysis_groups": "analysis/groups.tsv",
    "analysis_regressors": "analysis/regressors.tsv",
    "input_leak": "analysis/input_leak.tsv",
    # the truth of a simulated cohort, below its derivatives/truth
    "truth": "truth.json",
    "truth_table": "truth.tsv",
    "causes": "{scan}/anat/{key}_space-{space}_desc-causes_dseg.nii.gz",
    "cause_regions": "{scan}/anat/{key}_space-{space}_desc-causeregions_dseg.nii.gz",
    "true_jacobian": "{scan}/anat/{key}_space-{space}_desc-truejacobian_map.nii.gz",
    "disease_jacobian": "{scan}/anat/{key}_space-{space}_desc-diseasejacobian_map.nii.gz",
    "tissue": "{scan}/anat/{key}_space-{space}_label-{tissue}_probseg.nii.gz",
    "counterfactual": "{scan}/anat/{key}_space-{space}_desc-{desc}_{suffix}.nii.gz",
    # its anatomies, which have no label yet
    "anatomy": "{scan}/anat/{key}_space-{space}_anatomy.npz",
    "anatomy_card": "{scan}/anat/{key}_space-{space}_anatomy.json",
    "anatomies": "anatomies.tsv",
    # a native head: what a scanner exports, and, below derivatives/truth, what is known of it
    "raw_t1w": "{scan}/anat/{key}_T1w.nii.gz",
    "raw_flair": "{scan}/anat/{key}_FLAIR.nii.gz",
    "native_brain": "{scan}/anat/{key}_space-T1w_desc-truebrain_mask.nii.gz",
    "native_lesions_t1w": "{scan}/anat/{key}_space-T1w_desc-truelesion_mask.nii.gz",
    "native_lesions_flair": "{scan}/anat/{key}_space-FLAIR_desc-truelesion_mask.nii.gz",
    "native_warp": "{scan}/anat/{key}_space-{space}_desc-truewarp_xfm.nii.gz",
    "native_truth": "{scan}/anat/{key}_desc-native_truth.json",
    # what the maps find of a simulated cohort's causes
    "benchmark": "benchmark/benchmark.tsv",
    "benchmark_scans": "benchmark/scans.tsv",
    "explained": "benchmark/explained.tsv",
    "bayes": "benchmark/bayes.json",
    # a known signal in the study's own scans: a folder with inputs and models of its own, and what the maps find
    "planted": "planted/{name}",
    "plant": "plant.json",
    "plant_scans": "scans.tsv",
    "plant_benchmark": "benchmark.tsv",
    "plant_example": "example_{desc}.nii.gz",
    # one new patient, beside the files of a scan
    "prediction": "prediction.json",
    "prediction_regions": "regions.tsv",
    "prediction_page": "report.html",
    # printed tables of a paper, recomputed
    "published": "published_tables.{suffix}",
    # a bundle: the models of a study, to be shared
    "bundle_card": "model.json",
    "bundle_weights": "fold-{fold}.safetensors",
    "bundle_mean_scan": "mean_scan.safetensors",
    "bundle_onnx": "fold-{fold}.onnx",
    "bundle_text": "MODEL_CARD.md",
    # report
    "report": "report/report.html",
    "table": "tables/table{number}.{suffix}",
    "checklist": "checklists/{name}.{suffix}",
}


def path(root: str | Path, kind: str, scan: ScanId | None = None, **entities: object) -> Path:
    """Return the path of one file of the study.

    Parameters
    ----------
    root : path-like
        The study folder.
    kind : str
        A key of ``PATTERNS``.
    scan : ScanId, optional
        For kinds that belong to a scan.
    **entities
        The pattern's other fields: ``space``, ``fold``, ``method``, ...

    Examples
    --------
    >>> path("OUT", "t1w", ScanId("sub-001", "ses-01"), space="MNI").name
    'sub-001_ses-01_space-MNI_desc-preproc_T1w.nii.gz'
    """
    # an underscore separates BIDS entities: no value may hold one
    values = {
        key: str(value).replace("_", "") if key in ("desc", "method") else value for key, value in entities.items()
    }
    if scan is not None:
        folder = f"{scan.participant}/{scan.session}" if scan.session else scan.participant
        values |= {"scan": folder, "key": scan.key}
    return Path(root) / PATTERNS[kind].format(**values)


def existing(root: str | Path, kind: str, scan: ScanId | None = None, **entities: object) -> Path:
    """Return the path of a file that an earlier stage has written.

    Raises
    ------
    StudyError
        When it is not there.
    """
    found = path(root, kind, scan, **entities)
    if not found.exists():
        raise StudyError(
            "expected this file of an earlier stage, but it is not there",
            code="study-incomplete",
            file=found.relative_to(root),
            remedy="run the earlier stages on this study folder first",
        )
    return found


def find(root: str | Path, kind: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield every file of a kind, sorted, with the entities its name carries."""
    root = Path(root)
    wildcard = re.sub(r"\{\w+\}", "*", PATTERNS[kind].replace("{scan}/", "**/"))
    for candidate in sorted(root.glob(wildcard)):
        entities = parse(candidate.relative_to(root), kind)
        if entities is not None:
            yield candidate, entities


def parse(relative: str | Path, kind: str) -> dict[str, str] | None:
    """Read the entities out of a path, or return None when it is of another kind.

    Examples
    --------
    >>> parse("models/fold-3/history.tsv", "history")
    {'fold': '3'}
    """
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        inside = {
            "scan": r"sub-[A-Za-z0-9]+(?:/ses-[A-Za-z0-9]+)?",
            "key": r"sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?",
        }
        return f"(?P<{name}>{inside.get(name, r'[^/]+?')})"

    escaped = re.sub(r"\\\{(\w+)\\\}", r"{\1}", re.escape(PATTERNS[kind]))
    match = re.fullmatch(re.sub(r"\{(\w+)\}", group, escaped), Path(relative).as_posix())
    return None if match is None else match.groupdict()
