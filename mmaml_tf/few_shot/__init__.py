"""What the supervised domains share."""
