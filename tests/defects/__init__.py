"""Defects that servers and agents of this kind have had, and that ours must not have.

Each has a test, and removals: edits of the source that bring the defect about, with which that test
has to fail (`test_removals.py`). `catalogue.py` is the table.

Not here: rules of the SPIFFE standards (`tests/conformance`), claims of the threat model
(`tests/threats`).
"""
