"""Contrast: what radiologists know of the two sequences must come out of the equations."""

import numpy as np
import pytest

from relevox.phantom.contrast import (
    RELAXATION,
    SCANNERS,
    TISSUES,
    Sequence,
    Tissue,
    flair_signal,
    mprage_signal,
    tissue_signals,
)


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda s: s.name)
def test_lesions_are_bright_on_flair_and_dark_on_t1w(scanner):
    signal = {kind: dict(zip(TISSUES, values, strict=True)) for kind, values in tissue_signals(scanner).items()}
    t1w, flair = signal["t1w"], signal["flair"]
    assert t1w["csf"] < 0.3 < t1w["grey"] < t1w["lesion"] < t1w["white"] == 1
    assert flair["csf"] < 0.1 < flair["white"] == 1 < flair["grey"] < 1.3 < flair["lesion"] < 2.2


def test_table_1_gives_four_scanners_of_1_5_tesla_and_one_of_3():
    assert [s.field_strength_t for s in SCANNERS] == [1.5, 1.5, 1.5, 1.5, 3.0]
    assert [s.mprage.inversion_ms for s in SCANNERS] == [1100, 900, 850, 1100, 900]


def test_a_fluid_is_nulled_at_ln_2_of_its_t1():
    fluid = Tissue(3000, 2000, 1.0)
    null = Sequence(1e6, 90, 3000 * np.log(2))
    assert flair_signal(fluid, null) == pytest.approx(0, abs=1e-9)


def mprage_pulse_by_pulse(tissue, sequence, flip_deg=9.0, spacing=7.0, echoes=176, cycles=60):
    """Follow the magnetisation through every pulse until it repeats itself."""
    m, centre = 1.0, 0.0

    def relax(m, t):
        return 1 + (m - 1) * np.exp(-t / tissue.t1_ms)

    train = spacing * echoes
    before = sequence.inversion_ms - train / 2
    for _ in range(cycles):
        m = relax(-m, before)
        for pulse in range(echoes):
            if pulse == echoes // 2:
                centre = m
            m = relax(m * np.cos(np.radians(flip_deg)), spacing)
        m = relax(m, sequence.repetition_ms - before - train)
    return abs(centre) * tissue.proton_density * np.exp(-sequence.echo_ms / tissue.t2_ms)


@pytest.mark.parametrize("name", TISSUES)
def test_the_steady_state_is_what_following_every_pulse_leads_to(name):
    tissue, sequence = RELAXATION[1.5][name], SCANNERS[0].mprage
    assert mprage_signal(tissue, sequence) == pytest.approx(mprage_pulse_by_pulse(tissue, sequence), rel=1e-6)
