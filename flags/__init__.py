"""Command-line flags. Each module turns its flags into a frozen config dataclass.

This folder shares absl's name: import absl's as `from absl import flags as absl_flags` here.
"""
