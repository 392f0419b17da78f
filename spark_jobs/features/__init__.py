"""Feature sets as of a day: windows over history that never look past the row they describe."""
