"""Tests of what is measured, and of what must not grow."""
