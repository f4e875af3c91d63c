"""Package managers, one per file: what to run, and how to read what was said. Pure; nothing here starts a program."""
