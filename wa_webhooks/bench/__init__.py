"""Measure a receiver: realistic signed traffic, a load generator, and Meta's line to hold the figures against."""
