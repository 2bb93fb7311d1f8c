"""From a source tree to manifest, handlers and artifacts. Nothing of the user's is imported or run.

ignore      which files are left out                 tree        the files that are there, read once
syntax      a file's code                            sources     all code, parsed when it is asked for
imports     the import statements of a file          modules     which file an import means
graph       who imports whom                         bindings    what a module's names are bound to
lookup      what a name means                        values      what expressions can mean
literals    arithmetic, text, items                  evaluate    an expression -> its value
discover    which files can matter                   scan        endpoints and what is given to them
functions   a definition -> its manifest entry       drafts      what was written -> declarations
calls       who calls whom                           closure     the files that an endpoint needs
checks      what must hold between endpoints         problems    what is wrong, with its place
examine     all of that: a project, checked          archive     the bytes of an artifact
runtime     the part of flashcore in archives        keep        the kept build directory
project     `build`                                  schema      the manifest's JSON Schema
"""
