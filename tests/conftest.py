"""Fixtures shared by every test."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of recorded outputs of the published implementation (`GNET_REFERENCE`, or tests/golden)."""
    return Path(os.environ.get("GNET_REFERENCE", ROOT / "tests" / "golden"))
