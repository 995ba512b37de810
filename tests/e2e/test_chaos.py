"""A little of tests/chaos: the seeds are fixed, so that a failure can be had again (as far as threads allow)."""

import os
import sys

import pytest

from myelin import SOURCE

sys.path.insert(0, os.path.join(SOURCE, "tests", "chaos"))

from chaos import play  # noqa: E402


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_doubled(tmp_path, database, seed):
    wrong, counts = play(str(tmp_path), database, seed, kills=25, minutes=1.5, processes=1 if database == "sqlite" else 3)
    assert wrong == []
    assert counts["kill"] > 5 and counts["messages"] > 50, counts
