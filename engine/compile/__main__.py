"""`python -m engine.compile explain SPEC.yaml`: see `spec.explain`, which knows what a spec is.

The engine knows no specs, so the command is looked up by its name, when it is called.
"""

import runpy
import sys

COMMANDS = {"explain": "spec.explain"}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m engine.compile {{{','.join(COMMANDS)}}} …")
    module = COMMANDS[sys.argv[1]]
    sys.argv = [f"python -m engine.compile {sys.argv[1]}", *sys.argv[2:]]
    try:
        runpy.run_module(module, run_name="__main__")
    except ModuleNotFoundError as error:
        if error.name != "spec":
            raise
        sys.exit("explain reads job specs; the package `spec`, which knows them, is not installed")


if __name__ == "__main__":
    main()
