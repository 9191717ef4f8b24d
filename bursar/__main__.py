"""``python -m bursar``: the console script without one."""

from bursar.cli import main

if __name__ == "__main__":
    main()
