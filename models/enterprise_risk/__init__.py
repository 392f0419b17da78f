"""Probability that customs learns of a violation of an enterprise within the next 12 months."""
