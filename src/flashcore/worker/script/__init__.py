"""A replica whose work is done by a script that was written for RunPod's package, run as it is.

The replica starts the script as a process of its own and is to it what RunPod's cloud would be: it answers the routes
that the package calls, on an address of this machine that the script alone has the key to. To the gateway it is a
queue worker like any; so rollouts, shares, drains and results that outlast a gateway are no matter of the script's.

declared  what a generated handler holds
service   what the runtime serves: the process, the routes and the link to the gateway
child     the process
http      requests and answers, as little of HTTP as the package needs
routes    job-take, job-stop, job-done, job-stream and ping
tray      the jobs between the gateway and the script
"""
