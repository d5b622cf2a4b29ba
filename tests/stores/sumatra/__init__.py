"""Tests that need real Sumatra 0.8.1, in the environments of `tests/peers`."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.stores.sumatra.contract")
