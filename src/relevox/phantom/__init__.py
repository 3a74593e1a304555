"""Simulated patients with known causes: arrays in, arrays out."""
