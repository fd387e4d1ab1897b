"""`python -m stack`: start a project with our schema, say how to reach it, and end with Ctrl-C."""

import signal

from .running import Stack

stack = Stack()
try:
    project = stack.project()
    for name, value in project.environment.items():
        print(f"export {name}={value}")
    print(f"export WA_HOOKS_TEST_DATABASE={project.url}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
finally:
    stack.close()
