"""The data plane: requests and jobs in, replicas out. It goes on when the control plane is away.

main            the process: options, lock, sockets, start and stop        __main__ runs it
assembly        one gateway's parts, wired together
settings        its numbers
dispatch        which request is answered by whom; paths, answers, local   small parts of it
http/           the HTTP/1.1 engine, which knows nothing of endpoints

table           taking over a routing table, all of it or nothing;  tablefile  the last one on disk
routes          what a table means, as a value;  http_service, targets, waiting  what lives on over tables
circuit, ejection, retrying   replicas that fail: left alone, never too many of them; asked again within a budget
planning        what a request's head says by a table: where it goes, what a policy may see of it
handover        the listening sockets, for the next gateway;  succession  its place;  retired  who gave that up
keyring, security   who may call;  accessfile  the tokens that were last heard of;  metrics  what /metrics says
proxying        one request's way to a replica;  bodyneed  what a policy has to see of its body first

jobs_api        RunPod's client routes;  submission, rawjson, documents, health  what goes in and out
broker          the queue: owns the loops;  claiming  store -> workers;  recording  workers -> store
crew            the workers: coming, speaking, going;  books  who has what
fitting         jobs that a revision's function cannot be called with
admission, door, absence, liveness   who may come in, who waits for it, who is waited for and how long
workers         their socket;  connections  messages over a socket

signals         what the control plane is told;  counting  what is counted;  link  the socket to it
"""
