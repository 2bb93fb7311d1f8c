"""`flashcore dev`: the real platform in one process, for the code that is being written.

place      where a session keeps its things        local       a manifest as it is run here
watch      what changes in the project             reload      from a change to code that answers
session    all of it together                      told        what a session tells
calls      what is called, and how it ends         reading     what was given and returned, as text
output     what replicas print
tables     what the gateway serves by
execute    code that is sent with the call         run_source  the process that runs it
ending     ending all that was started
"""
