"""Tests of remediator, and the test bed they run on."""
