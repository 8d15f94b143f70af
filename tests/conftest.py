"""Chance in tests: properties without deadlines, since machines differ, and the same numbers in every run."""

import os
import sys

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def the_same_numbers():
    """Whatever ran before, the generators that are there begin alike."""
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
