"""Tests of measurements, and of costs that must not grow."""
