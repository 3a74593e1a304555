import pytest

from relevox.store.series import Series, without_identity


def series(words, te=None, ti=None, tr=None, shape=(200, 220, 160), **more):
    times = {"EchoTime": te, "InversionTime": ti, "RepetitionTime": tr}
    sidecar = {"SeriesDescription": words} | {k: v for k, v in times.items() if v is not None} | more
    return Series("image.nii.gz", sidecar, shape)


@pytest.mark.parametrize(
    ("found", "suffix"),
    [
        (series("t1_mprage_sag_p2_iso", 0.0029, 0.9, 2.3), "T1w"),
        (series("Ax BRAVO", 0.003, 0.45, 0.008), "T1w"),
        (series("AX T1 SE", 0.012, None, 0.5), "T1w"),
        (series("Sag T1 FLAIR", 0.024, 0.86, 2.5), "T1w"),  # a T1w image by its times, whatever its name
        (series("3D brain", 0.003, 0.95, 2.4), "T1w"),  # no name that helps
        (series("t2_space_dark-fluid_sag", 0.39, 1.8, 5.0), "FLAIR"),
        (series("Ax T2 FLAIR", 0.12, 2.25, 9.0), "FLAIR"),
        (series("tirm_tra", 0.09, 2.5, 9.0), "FLAIR"),
        (series("serie 5", 0.1, 2.5, 9.0), "FLAIR"),
        (series("flair"), "FLAIR"),  # no times: the name
        (series("t2_tse_tra", 0.1, None, 5.0), ""),
        (series("STIR sag", 0.06, 0.15, 4.0), ""),
        (series("localizer t1", 0.003, None, 0.01), ""),
        (series("t1_mprage", 0.003, 0.9, 2.3, shape=(256, 256, 3)), ""),
        (series("t1_mprage", 0.003, 0.9, 2.3, shape=(256, 256, 160, 4)), ""),
        (series("t1_mprage MPR tra", 0.003, 0.9, 2.3), ""),
        (series("t1_mprage", 0.003, 0.9, 2.3, ImageType=["DERIVED", "SECONDARY"]), ""),
        (series("ep2d_diff_3scan_trace", 0.09, None, 5.0), ""),
        (series("tof_3d t1", 0.004, None, 0.022), ""),
    ],
)
def test_the_times_decide_and_names_decide_the_rest(found, suffix):
    assert found.suffix() == suffix


@pytest.mark.parametrize("words", ["t1_mprage_KM", "Ax T1 +C", "T1 post gad", "t1 C+", "T1_GD", "sag t1 contrast"])
def test_a_contrast_agent_is_told_by_the_name(words):
    assert series(words).is_after_contrast()


@pytest.mark.parametrize("words", ["t1_mprage", "T1 posterior fossa", "space_flair", "Ax T1 SE", "gdansk protocol"])
def test_other_words_are_not_taken_for_a_contrast_agent(words):
    assert not series(words).is_after_contrast()


def test_a_contrast_agent_is_told_by_its_field():
    assert series("t1", ContrastBolusAgent="Gadovist").is_after_contrast()
    assert not series("t1", ContrastBolusAgent="NONE").is_after_contrast()


def test_only_numbers_and_plain_words_about_the_acquisition_are_kept():
    kept = without_identity(
        {
            "EchoTime": 0.003,
            "Manufacturer": "Siemens",
            "ManufacturersModelName": "DOE^JOHN was here",
            "PatientName": "DOE^JOHN",
            "SeriesDescription": "t1 DOE",
            "AcquisitionDateTime": "2019-03-07T10:12:12",
            "InstitutionName": "St. Elsewhere",
            "FlipAngle": True,
        }
    )
    assert kept == {"EchoTime": 0.003, "Manufacturer": "Siemens"}
