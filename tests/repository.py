"""Where the source tree is, for tests that read it as a whole."""

import os


def root():
    """The repository: the test runs beside a link to its WORKSPACE file."""
    return os.path.dirname(os.path.realpath("WORKSPACE"))


def files(*folders, endings):
    """Paths, relative to the root, of the files below `folders`, sorted."""
    found = []
    for folder in folders:
        for parent, _, names in os.walk(os.path.join(root(), folder)):
            found += [os.path.relpath(os.path.join(parent, name), root())
                      for name in names if name.endswith(tuple(endings))]
    return sorted(found)
