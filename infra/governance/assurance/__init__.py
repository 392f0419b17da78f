"""What the platform promises about its data, measured on the data: one module per measure.

Every measure is ``measure(settings, progress, …)`` and returns a frozen value with its figures and ``sentences``, one
per thing that is not as promised. A measure that cannot run raises an error that names the remedy.
"""
