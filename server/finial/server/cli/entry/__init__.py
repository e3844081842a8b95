"""The `entry` commands: what the flags and files say as entries, and entries as text."""
