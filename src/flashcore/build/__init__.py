"""From a source tree to manifest, handlers and artifacts. Nothing of the user's is imported or run.

ignore      which files are left out                 tree        the files that are there, read once
modules     which file an import means               syntax      a file's code
bindings    what a module's names are bound to       values      what expressions can mean
evaluate    an expression -> its value               discover    which files can matter
scan        endpoints and functions of the tree      functions   a definition -> its manifest entry
calls       who calls whom                           closure     the files that an endpoint needs
checks      what must hold of all endpoints          problems    what is wrong, with its place
archive     the bytes of an artifact                 keep        the kept build directory
project     all of it
"""
