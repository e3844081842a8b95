"""Running the tests of a row against the source with its rule taken out.

Here: which tests belong to a row (`naming`), a source tree with edits (`overlay`), one run and what
it shows (`trial`), the process in which runs begin quickly (`warm`), and the workers that share
them out (`workers`). Not here: the rows and the removals themselves.
"""
