"""Compiled functions, also where their machine code cannot be kept."""

import subprocess
import sys

from relevox.compiled import compiled


def test_without_a_folder_to_keep_it_in_a_function_is_compiled_all_the_same():
    names: dict = {}
    exec("def double(x):\n    return 2 * x", names)  # no file, so no folder beside it
    double = compiled(names["double"])
    assert double(21) == 42
    assert double.nopython_signatures


def test_the_regression_is_imported_without_the_compiler():
    code = "import sys, relevox.statistics.voxelwise, relevox.statistics.permutation; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
