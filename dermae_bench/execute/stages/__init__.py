"""One function per stage kind, each in a file of its own, so that a key holds only the code that decides its result."""
