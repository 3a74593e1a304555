"""Which way is left, what is coloured, and that figures are the same whoever draws them."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from relevox.report import drawing


def test_the_patients_right_is_on_the_left_and_the_front_is_up():
    image = np.zeros((5, 7, 3))
    image[4, 6, 1] = 1  # right, front (RAS+)
    shown = drawing.strip(image, np.array([1]), np.ones(image.shape, dtype=bool))
    row, column = np.argwhere(shown == 1)[0]
    assert row == 0
    assert column == 1  # after the gap of one column


def test_a_strip_holds_the_slices_in_order_between_gaps():
    image = np.broadcast_to(np.arange(4.0), (3, 2, 4))
    shown = drawing.strip(image, np.array([0, 2]), np.ones(image.shape, dtype=bool))
    assert shown.shape == (2, 9)
    assert np.isnan(shown[:, [0, 4, 8]]).all()
    assert (shown[:, 1:4] == 0).all()
    assert (shown[:, 5:8] == 2).all()


def test_slices_are_spread_over_the_mask():
    mask = np.zeros((3, 3, 41), dtype=bool)
    mask[1, 1, 10:31] = True
    assert drawing.axial_indices(mask, 3, 0, 1).tolist() == [10, 20, 30]
    assert drawing.axial_indices(np.zeros_like(mask), 2, 0, 1).tolist() == [0, 40]


def test_the_percentile_is_over_positive_relevance_in_the_brain():
    relevance = np.array([[[-5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 100.0]]])
    mask = np.array([[[True] * 6 + [False]]])
    kept = drawing.above_percentile(relevance, mask, 50)
    assert np.isfinite(kept).tolist() == [[[False, False, False, False, True, True, False]]]
    assert np.isnan(drawing.above_percentile(-np.abs(relevance), mask, 50)).all()


@drawing.house_style
def a_figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2], [1, 3])
    return figure


def test_a_users_own_style_changes_nothing_and_pyplot_is_not_touched():
    before = drawing.to_png(a_figure())
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20}):
        assert drawing.to_png(a_figure()) == before
    assert plt.get_fignums() == []


def test_a_picture_carries_no_date_and_no_program():
    png = drawing.to_png(a_figure())
    assert png.startswith(b"\x89PNG")
    for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):
        assert chunk not in png
