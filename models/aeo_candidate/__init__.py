"""Which enterprises would pass an AEO validation: whom to cultivate."""
