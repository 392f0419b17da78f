"""Whether a wagon of minerals holds what was declared, judged by its composition."""
