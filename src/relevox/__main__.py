"""``python -m relevox``: the command line."""

from relevox.cli import main

if __name__ == "__main__":
    main()
