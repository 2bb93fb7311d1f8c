"""Workers that come and ask: those of RunPod's SDK, over HTTP. To the rest of the gateway they are workers like any.

link        one worker's side: what it is given waits here until it asks
attendance  its connections, by whose end it is known to have ended
desk        all of them: who comes, who stays away
routes      job-take, job-stop, job-done, job-stream and ping
"""
