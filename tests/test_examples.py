"""What the documentation shows runs, and finds what it says it finds."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_example_finds_the_effect_where_it_is(capsys):
    numbers = runpy.run_path(str(ROOT / "examples" / "voxelwise_regression.py"))["main"]()
    assert "effect found" in capsys.readouterr().out
    assert numbers["effect found, largest |t|"] > 0.5
    assert numbers["effect found, cluster enhancement"] > numbers["effect found, largest |t|"]
    assert numbers["found elsewhere"] == 0
    assert numbers["2 / (n - 1)"] == pytest.approx(2 / 119)
    assert numbers["mean R2"] > numbers["mean R2 expected without an effect"] > numbers["2 / (n - 1)"]


def test_the_code_of_the_voxelwise_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "voxelwise.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, "voxelwise.md", "exec"), names)
    r2, chance = map(float, re.findall(r"0\.\d+", capsys.readouterr().out))
    assert r2 > 2 * chance > 0
    assert names["r2_image"].shape == names["mask"].shape
