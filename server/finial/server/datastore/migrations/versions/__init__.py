"""One file a step, named by its number; each says in a sentence what it changes and why."""
