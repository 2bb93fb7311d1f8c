"""Finding, indexing, loading, checking and listing plugins.

    reports      what is known about a plugin: its origin, its state and why, what it offers   (values)
    policy       which plugins may be loaded, decided before anything of theirs is imported    (values)
    scan         entry points on the path, without importing them
    local        a project's own flashcore_plugins.py
    index        the survey of all plugins, kept in a file, so that help and listings import none of them
    refresh      makes that survey in a process of its own, which a plugin may take down
    survey       what that process runs
    requirements, importing, hook_table, offers, conflicts
                 one step each of what is asked of a plugin before it is active
    loader       these steps in their order, for all plugins
    opening      all of it for one process: the way to a registry
    registry     all extension points of one platform
    points       the parts of one extension point, by name
    options      a part's arguments to its options object
    references   `package.module:Attribute` to what it names
    shape        whether that looks as its extension point asks
    calls        calling observing and amending hooks, each plugin by itself
    observers    telling observers what happened, without waiting for them
    commands     the commands that plugins add to the command line
    doctor       findings about plugins and about the distribution
    blame, rejection, near, known
                 what errors are made of: whose fault, why, what was meant, what could be installed

Nothing is imported here: `index` is on the way to `flashcore --help`.
"""
