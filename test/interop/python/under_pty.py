"""Runs a command under a pseudo-terminal: our input is typed there, and what appears there is our output.

The exit status is the command's.
"""
import os
import pty
import select
import sys

child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

sources = [0, terminal]
while terminal in sources:
    readable, _, _ = select.select(sources, [], [])
    if 0 in readable:
        typed = os.read(0, 4096)
        if typed:
            os.write(terminal, typed)
        else:
            sources.remove(0)
    if terminal in readable:
        try:
            shown = os.read(terminal, 4096)
        except OSError:  # EIO: the command has ended
            shown = b''
        if shown:
            os.write(1, shown)
        else:
            sources.remove(terminal)

sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
