"""Jobs: from a user's request to finished video files.

`Request -> plan(request) -> Job -> run(job, load(job), progress, cancel)`. The command line is one
door to this package; a server or a batch is another.
"""
