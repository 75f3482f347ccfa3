"""What the repository needs to keep weights, tables and figures: `python -m tools.NAME`."""
