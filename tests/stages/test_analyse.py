"""Group analysis of a tiny study's maps."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from relevox.errors import Problems, StudyError
from relevox.imaging.regions import REGIONS
from relevox.records import Cohort, Volume
from relevox.stages import analyse
from relevox.statistics.permutation import freedman_lane
from relevox.store import images, layout, tables, template


@pytest.fixture(scope="module")
def analysed(tmp_path_factory, explained_once, tiny_settings):
    study = shutil.copytree(explained_once, tmp_path_factory.mktemp("analysed") / "study")
    analyse.run(study, tiny_settings)
    return study


def rows_of(study, kind):
    return tables.read(layout.existing(study, kind))


def group_of(study):
    return {p.id: p.group for p in tables.read_predictions(study)}


def stack(study, settings, kind, scans, **entities):
    space = settings.preprocessing.space
    return np.stack(
        [images.read(layout.path(study, kind, scan, space=space, **entities)).data for scan in scans]
    ).astype(float)


def normalised_maps(study, settings, method, scans):
    maps = stack(study, settings, "relevance", scans, method=method)
    return maps / np.abs(maps).sum(axis=(1, 2, 3), keepdims=True)


BRAIN = template.load(8).brain_mask


def group_map(study, group, desc, statistic):
    return images.read(layout.existing(study, "group_map", group=group, desc=desc, statistic=statistic)).data


def test_mean_maps_are_means_of_maps_scaled_alike(analysed, tiny_settings):
    groups = group_of(analysed)
    for group in ("TP", "FP", "TN", "all"):
        scans = [scan for scan in groups if group in ("all", groups[scan])]
        for method in tiny_settings.attribution.methods:
            expected = normalised_maps(analysed, tiny_settings, method, scans).mean(axis=0)
            found = group_map(analysed, group, method, "mean")
            np.testing.assert_allclose(found, expected * BRAIN, atol=1e-6 * np.abs(expected).max())
        lesions = stack(analysed, tiny_settings, "lesion_mask", scans).mean(axis=0)
        np.testing.assert_allclose(group_map(analysed, group, "lesion", "mean"), lesions * BRAIN, atol=1e-6)


def test_an_empty_group_is_said_to_be_empty(analysed):
    groups = {row["group"]: row for row in rows_of(analysed, "analysis_groups")}
    assert list(groups) == ["TP", "FP", "TN", "FN", "all"]
    assert groups["FN"]["n_scans"] == "0"
    assert "empty" in groups["FN"]["note"]
    assert groups["FN"]["r2_mean"] == "n/a"
    assert not list((analysed / "analysis").glob("group-FN*"))
    assert sum(int(groups[g]["n_scans"]) for g in ("TP", "FP", "TN")) == int(groups["all"]["n_scans"]) == 14
    assert int(groups["all"]["n_patients"]) == 12


def test_the_regression_of_all_scans_is_that_of_statsmodels(analysed, tiny_settings):
    scans = list(group_of(analysed))
    y = normalised_maps(analysed, tiny_settings, "lrp", scans)
    lesion = stack(analysed, tiny_settings, "lesion_mask", scans)
    jacobian = stack(analysed, tiny_settings, "jacobian", scans)
    varies = BRAIN & (lesion.std(axis=0) > 0) & (jacobian.std(axis=0) > 0) & (y.std(axis=0) > 0)
    maps = {
        name: group_map(analysed, "all", *name)
        for name in (("lrp", "r2"), ("lrp", "adjustedr2"), ("lesion", "partialr2"), ("jacobian", "beta"))
    }
    for voxel in np.argwhere(varies)[:: max(1, varies.sum() // 10)]:
        v = (slice(None), *voxel)
        design = np.column_stack([lesion[v], jacobian[v]])
        ols = sm.OLS(y[v] / y[v].std(), sm.add_constant(design)).fit()
        t2 = ols.tvalues[1] ** 2
        assert maps["lrp", "r2"][tuple(voxel)] == pytest.approx(ols.rsquared, rel=1e-4, abs=1e-6)
        assert maps["lrp", "adjustedr2"][tuple(voxel)] == pytest.approx(ols.rsquared_adj, rel=1e-4, abs=1e-6)
        assert maps["lesion", "partialr2"][tuple(voxel)] == pytest.approx(t2 / (t2 + ols.df_resid), rel=1e-3, abs=1e-6)
        beta = ols.params[2] * jacobian[v].std()
        assert maps["jacobian", "beta"][tuple(voxel)] == pytest.approx(beta, rel=1e-3, abs=1e-5)
    row = {row["group"]: row for row in rows_of(analysed, "analysis_groups")}["all"]
    terms = group_map(analysed, "all", "lrp", "terms")
    r2 = maps["lrp", "r2"][terms > 0]
    assert int(row["voxels_fitted"]) == len(r2)
    assert float(row["r2_mean"]) == pytest.approx(r2.mean(), rel=1e-5)
    assert float(row["r2_expected"]) == pytest.approx(terms[terms > 0].mean() / 13)
    assert (group_map(analysed, "all", "lrp", "n") == 14 * (terms > 0)).all()


def test_a_map_says_where_a_regressor_was_fitted(analysed, tiny_settings):
    scans = list(group_of(analysed))
    lesion = stack(analysed, tiny_settings, "lesion_mask", scans)
    fitted = group_map(analysed, "all", "lesion", "fitted") > 0
    assert not fitted[~BRAIN].any()
    assert not fitted[lesion.max(axis=0) == 0].any()
    assert fitted.any()
    assert (group_map(analysed, "all", "lesion", "partialr2")[~fitted] == 0).all()


def test_region_shares_add_up_and_chance_is_marked(analysed, tiny_settings):
    rows = rows_of(analysed, "analysis_regions")
    assert {row["region"] for row in rows} == {region.name for region in REGIONS}
    assert {row["group"] for row in rows} == {"TP", "FP", "TN", "all"}
    sweep = {*tiny_settings.analysis.percentile_sweep, tiny_settings.analysis.percentile}
    assert {float(row["percentile"]) for row in rows} == sweep
    chosen = [r for r in rows if (r["group"], r["method"], r["percentile"]) == ("TP", "lrp", "95")]
    assert len(chosen) == len(REGIONS)
    # the made-up brain is larger than the template's: the rest of it has no region
    for column in ("voxel_share", "relevance_share", "volume_share"):
        assert 0.5 < sum(float(row[column]) for row in chosen) <= 1 + 1e-9
    known = [row for row in chosen if row["enrichment"] != "n/a"]
    for row in known:
        expected = float(row["voxel_share"]) / float(row["volume_share"])
        assert float(row["enrichment"]) == pytest.approx(expected, rel=1e-6)
    display = [float(r["mean_relevance_display"]) for r in rows if r["method"] == "lrp" and r["enrichment"] != "n/a"]
    assert max(display) == pytest.approx(1.0)


def test_occlusion_is_averaged_by_group(analysed):
    groups = group_of(analysed)
    deltas = {
        scan: {r["region"]: float(r["delta"]) for r in tables.read(layout.path(analysed, "occlusion", scan))}
        for scan in groups
    }
    for row in rows_of(analysed, "analysis_occlusion"):
        values = [deltas[scan][row["region"]] for scan in groups if row["group"] in ("all", groups[scan])]
        assert int(row["n_scans"]) == len(values)
        assert float(row["mean_delta"]) == pytest.approx(np.mean(values), abs=1e-9)
        if len(values) == 1:
            assert row["sd_delta"] == "n/a"
        else:
            assert float(row["sd_delta"]) == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-9)
        assert float(row["mean_absolute_delta"]) == pytest.approx(np.abs(values).mean(), rel=1e-6, abs=1e-9)


def test_the_leak_is_what_the_mean_intensity_says(analysed):
    cohort = tables.read_cohort(analysed)
    inputs = np.load(layout.path(analysed, "inputs")).astype(float)
    inside = inputs[:, :, 2:-2, 2:-2, 2:-2].mean(axis=(2, 3, 4))
    names, volumes = tables.read_volumes(analysed, cohort)
    rows = rows_of(analysed, "input_leak")
    assert [row["channel"] for row in rows] == ["T1w", "FLAIR"]
    for channel, row in enumerate(rows):
        load = np.corrcoef(inside[:, channel], volumes[:, names.index("lesions")])[0, 1]
        label = np.corrcoef(inside[:, channel], cohort.labels)[0, 1]
        assert float(row["correlation_lesion_load"]) == pytest.approx(load, abs=1e-6)
        assert float(row["correlation_label"]) == pytest.approx(label, abs=1e-6)
    assert float(rows[1]["auc_label"]) == 1.0  # the made-up positives are brighter


def test_what_is_up_to_date_is_left_alone_and_what_is_left_over_removed(analysed, tiny_settings):
    file = layout.existing(analysed, "analysis_groups")
    before = file.stat().st_ino
    analyse.run(analysed, tiny_settings)
    assert file.stat().st_ino == before
    left_over = layout.path(analysed, "group_map", group="FN", desc="lrp", statistic="mean")
    images.write(left_over, Volume(np.zeros((2, 2, 2)), np.eye(4)))
    file.unlink()
    analyse.run(analysed, tiny_settings)
    assert file.exists()
    assert not left_over.exists()
    assert layout.path(analysed, "group_map", group="TP", desc="integrated_gradients", statistic="mean").exists()


def changed(settings, **analysis):
    return settings.model_copy(update={"analysis": settings.analysis.model_copy(update=analysis)})


def test_the_tables_by_scan_hold_what_the_group_means_are_made_of(analysed):
    groups = group_of(analysed)
    long = rows_of(analysed, "analysis_scan_regions")
    means = {(r["group"], r["method"], r["region"], r["percentile"]): r for r in rows_of(analysed, "analysis_regions")}
    for group, region, percentile in (("TP", "thalamus", "95"), ("all", "frontal_cortex", "99")):
        rows = [
            r
            for r in long
            if (r["method"], r["region"], r["percentile"]) == ("lrp", region, percentile)
            and group in ("all", r["group"])
        ]
        assert len(rows) == sum(group in ("all", g) for g in groups.values())
        found = means[group, "lrp", region, percentile]
        for column in ("voxel_share", "relevance_share"):
            values = np.array([float(row[column]) for row in rows])
            assert float(found[column]) == pytest.approx(values.mean(), rel=1e-6)
            assert float(found[f"{column}_sd"]) == pytest.approx(values.std(ddof=1), rel=1e-6, abs=1e-9)
            assert float(found[f"{column}_ci_low"]) <= values.mean() <= float(found[f"{column}_ci_high"])


def test_a_spreadsheet_has_a_row_a_scan_and_a_column_a_region(analysed):
    wide = tables.read(layout.path(analysed, "analysis_by_scan", desc="lrp", measure="voxels-percent"))
    assert [tables.identity(row) for row in wide] == list(tables.read_cohort(analysed).ids)
    assert list(wide[0])[-len(REGIONS) :] == [region.name for region in REGIONS]
    long = rows_of(analysed, "analysis_scan_regions")
    for row in wide[:3]:
        one = [
            r
            for r in long
            if tables.identity(r) == tables.identity(row) and (r["method"], r["percentile"]) == ("lrp", "95")
        ]
        for r in one:
            assert float(row[r["region"]]) == pytest.approx(100 * float(r["voxel_share"]), abs=1e-4)


def test_patients_count_alike_when_asked_for(explained_study, tiny_settings):
    settings = changed(tiny_settings, average="patients")
    analyse.run(explained_study, settings)
    scans = list(group_of(explained_study))
    maps = dict(zip(scans, normalised_maps(explained_study, settings, "lrp", scans), strict=True))
    patients = {scan.participant for scan in scans}
    expected = np.mean(
        [np.mean([maps[s] for s in scans if s.participant == patient], axis=0) for patient in patients], axis=0
    )
    found = group_map(explained_study, "all", "lrp", "mean")
    np.testing.assert_allclose(found, expected * BRAIN, atol=1e-6 * np.abs(expected).max())


def test_the_number_of_workers_changes_nothing(analysed, explained_study, tiny_settings):
    analyse.run(explained_study, tiny_settings, workers=2)
    for file in sorted((analysed / "analysis").rglob("*.*")):
        if file.is_file():
            assert (explained_study / file.relative_to(analysed)).read_bytes() == file.read_bytes(), file.name


def test_scans_without_an_age_are_left_out_of_a_regression_on_age(explained_study, tiny_settings):
    cohort = tables.read_cohort(explained_study)
    unknown = cohort.ids[3]
    observations = [replace(o, age_years=np.nan) if o.id == unknown else o for o in cohort]
    tables.write_cohort(explained_study, Cohort(tuple(observations)))
    analyse.run(explained_study, changed(tiny_settings, regressors=("age", "lesion")))
    row = {row["group"]: row for row in rows_of(explained_study, "analysis_groups")}["all"]
    assert (row["n_scans"], row["n_fitted"]) == ("14", "13")
    assert "1 scans without age are left out" in row["note"]
    kept = [o for o in observations if o.id != unknown]
    scans = [o.id for o in kept]
    y = normalised_maps(explained_study, tiny_settings, "lrp", scans)
    lesion = stack(explained_study, tiny_settings, "lesion_mask", scans)
    r2 = group_map(explained_study, "all", "lrp", "r2")
    for voxel in np.argwhere(BRAIN & (lesion.std(axis=0) > 0) & (y.std(axis=0) > 0))[::200]:
        v = (slice(None), *voxel)
        design = sm.add_constant(np.column_stack([[o.age_years for o in kept], lesion[v]]))
        assert r2[tuple(voxel)] == pytest.approx(sm.OLS(y[v] / y[v].std(), design).fit().rsquared, rel=1e-4, abs=1e-6)
    assert len(list((explained_study / "analysis").glob("*_desc-age_beta.nii.gz"))) > 0
    assert not list((explained_study / "analysis").glob("*_desc-jacobian_beta.nii.gz"))


def test_a_scan_without_regions_of_its_own_is_named(explained_study, tiny_settings):
    settings = changed(tiny_settings, parcellation="subject")
    with pytest.raises((StudyError, Problems), match=r"expected regions of sub-00_ses-01") as caught:
        analyse.run(explained_study, settings)
    assert "template" in str(caught.value)
    assert not (explained_study / "analysis" / ".stack").exists()


def test_a_scans_own_regions_count_when_asked_for(explained_study, tiny_settings):
    space = tiny_settings.preprocessing.space
    for scan in tables.read_cohort(explained_study).ids:
        labels = np.where(BRAIN, 6, 0).astype(np.int16)  # all thalamus
        file = layout.path(explained_study, "regions", scan, space=space)
        images.write(file, Volume(labels, np.diag([8, 8, 8, 1.0])))
    analyse.run(explained_study, changed(tiny_settings, parcellation="subject"))
    for row in rows_of(explained_study, "analysis_scan_regions"):
        if row["region"] != "thalamus":
            assert (row["volume_share"], row["enrichment"]) == ("0", "n/a")
    images.write(file, Volume(np.full(BRAIN.shape, 99, np.int16), np.diag([8, 8, 8, 1.0])))
    layout.path(explained_study, "analysis_groups").unlink()
    with pytest.raises(StudyError, match="99"):
        analyse.run(explained_study, changed(tiny_settings, parcellation="subject"))


def regressor_rows(study):
    return {(row["group"], row["regressor"]): row for row in rows_of(study, "analysis_regressors")}


def test_p_maps_are_those_of_whole_patients_exchanged(analysed, tiny_settings):
    scans = [scan for scan, group in group_of(analysed).items() if group == "TN"]
    y = normalised_maps(analysed, tiny_settings, "lrp", scans)[:, BRAIN]
    X = [stack(analysed, tiny_settings, kind, scans)[:, BRAIN] for kind in ("lesion_mask", "jacobian")]
    patients = np.array([scan.participant for scan in scans])
    expected = freedman_lane(y, X, patients, 99, seed=tiny_settings.seed)
    rows = regressor_rows(analysed)
    for j, name in enumerate(("lesion", "jacobian")):
        found = group_map(analysed, "TN", name, "t")[BRAIN]
        known = np.isfinite(expected.t[j])
        np.testing.assert_allclose(found, np.where(known, expected.t[j], 0), rtol=1e-3, atol=1e-4)
        p = 10.0 ** -group_map(analysed, "TN", name, "logpfwe")[BRAIN]
        np.testing.assert_allclose(p, np.where(known, expected.p_fwe[j], 1), rtol=1e-3)
        row = rows["TN", name]
        assert float(row["smallest_p_fwe"]) == pytest.approx(np.nanmin(expected.p_fwe[j]))
        assert int(row["voxels_fwe"]) == (expected.p_fwe[j][known] < 0.05).sum()
        assert int(row["voxels_tested"]) == known.sum()
        assert int(row["n_permutations"]) == expected.n_permutations
        peak = np.array([float(row[f"peak_{axis}_mm"]) for axis in "xyz"])
        voxel = np.rint(np.linalg.inv(template.load(8).affine) @ [*peak, 1]).astype(int)[:3]
        assert abs(group_map(analysed, "TN", name, "t")[tuple(voxel)]) == np.abs(found).max()
        assert REGIONS[template.load(8).regions[tuple(voxel)] - 1].name == row["peak_region"]


def test_chance_is_measured_beside_the_formula(analysed):
    for row in rows_of(analysed, "analysis_groups"):
        if row["r2_expected_permuted"] != "n/a":
            observed, chance = float(row["r2_mean"]), float(row["r2_expected_permuted"])
            assert float(row["r2_above_chance"]) == pytest.approx(observed - chance, abs=1e-8)
            assert chance == pytest.approx(float(row["r2_expected"]), rel=0.25)  # random maps


def test_groups_too_small_for_a_test_say_so(analysed):
    rows = regressor_rows(analysed)
    assert rows["FN", "lesion"]["n_permutations"] == "n/a"
    for group, row in ((key[0], row) for key, row in rows.items()):
        if row["n_permutations"] != "n/a" and int(row["n_permutations"]) < 19:
            assert "no p is below 0.05" in row["note"], group


def test_lesions_of_too_few_scans_are_not_tested(explained_study, tiny_settings):
    analyse.run(explained_study, changed(tiny_settings, min_lesion_scans=3, n_permutations=19))
    scans = list(group_of(explained_study))
    count = stack(explained_study, tiny_settings, "lesion_mask", scans).sum(axis=0)
    t, beta = (group_map(explained_study, "all", "lesion", statistic) for statistic in ("t", "beta"))
    assert (t[count < 3] == 0).all()
    assert (t != 0).any()
    assert (beta[BRAIN & (count == 1)] != 0).any()  # the fit itself uses them all


def test_without_permutations_there_are_no_p_maps(explained_study, tiny_settings):
    analyse.run(explained_study, changed(tiny_settings, n_permutations=0))
    assert not list((explained_study / "analysis").glob("*_logpfwe.nii.gz"))
    row = regressor_rows(explained_study)["all", "lesion"]
    assert (row["n_permutations"], row["smallest_p_fwe"]) == ("n/a", "n/a")
    assert row["partial_r2_median"] != "n/a"


def test_clusters_are_enhanced_when_asked_for(explained_study, tiny_settings):
    analyse.run(explained_study, changed(tiny_settings, n_permutations=19, tfce=True))
    assert (group_map(explained_study, "all", "jacobian", "tfce") != 0).any()
    row = regressor_rows(explained_study)["all", "jacobian"]
    assert 0.05 <= float(row["smallest_p_tfce"]) <= 1
    lowest = 10.0 ** -group_map(explained_study, "all", "jacobian", "logptfce").max()
    assert float(row["smallest_p_tfce"]) == pytest.approx(lowest, rel=1e-4)
