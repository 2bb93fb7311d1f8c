"""Finding, indexing, loading, checking and listing plugins.

    reports     what is known about a plugin: its origin, its state and why, what it offers    (values)
    policy      which plugins may be loaded, said before anything of theirs is imported         (values)
    scan        entry points on the path, without importing them
    local       a project's own flashcore_plugins.py
    index       the survey of all plugins, kept in a file, so that help and listings import none of them
    refresh     makes that survey in a process of its own, which a plugin may take down
    survey      what that process runs
    requirements, importing, hook_rules, offers, conflicts
                one step each of what is asked of a plugin before it is active
    loader      these steps in their order, for all plugins
    references  `package.module:Attribute` to what it names
    options     a part's arguments to its options object
    points      the parts of one extension point, by name
    registry    all extension points of one platform
    calls       calling observing and amending hooks, each plugin by itself
    observers   telling observers what happened, without waiting for them
    checking    a thorough examination: every reference is resolved
    commands    the commands that plugins add to the command line
    doctor      findings about plugins and about the distribution

Nothing is imported here: `registry.index` is on the way to `flashcore --help`.
"""
