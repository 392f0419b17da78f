"""Which declarations to inspect: the probability that an inspection finds a violation."""
