"""Telling merchants: secrets, targets, signatures, and the worker that delivers."""
