"""Jobs: from what a user asks for to finished files.

`Request -> plan(request) -> Job -> run(job, load(job), progress, cancel)`. The command line is one
door to this package; a server or a batch is another.
"""
