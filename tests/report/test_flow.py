"""The flow diagram."""

from matplotlib import pyplot as plt

from relevox.report.flow import flow_diagram

CLASSES = ("EDSS < 3", "EDSS \N{GREATER-THAN OR EQUAL TO} 3")


def step(rule, removed, left, patients):
    return {"rule": rule, "scans_removed": float(removed), "scans_left": float(left), "patients_left": float(patients)}


def words(flow):
    figure = flow_diagram(flow, CLASSES, [(10, 12), (7, 8)])
    found = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    plt.close("all")
    return found


def test_every_rule_that_removed_something_is_drawn_with_what_it_left():
    flow = [
        step("scans found", 0, 30, 25),
        step("no EDSS", 6, 24, 20),
        step("late", 0, 24, 20),
        step("failed", 4, 20, 17),
    ]
    assert words(flow) == [
        "scans found\n30 scans of 25 patients",
        "no EDSS\n6 scans left out",
        "left\n24 scans of 20 patients",
        "failed\n4 scans left out",
        "in the study\n20 scans of 17 patients",
        f"{CLASSES[0]}\n12 scans of 10 patients",
        f"{CLASSES[1]}\n8 scans of 7 patients",
    ]


def test_where_nothing_was_removed_that_is_said():
    found = words([step("scans found", 0, 20, 17), step("failed", 0, 20, 17)])
    assert found[1:3] == ["nothing was left out", "in the study\n20 scans of 17 patients"]


def test_a_flow_of_one_row_is_drawn():
    assert words([step("scans found", 0, 20, 17)])[0] == "scans found\n20 scans of 17 patients"
