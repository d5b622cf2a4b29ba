"""Tests that need a real Sumatra Server."""
