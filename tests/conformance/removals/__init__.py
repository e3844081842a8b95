"""The removals, a file a family of rows; each holds `REMOVALS`, by row."""
