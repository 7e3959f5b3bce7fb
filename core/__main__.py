"""`python -m core`: everything the dashboard can do, from a shell. See `core.cli`."""

from core.cli import main

if __name__ == "__main__":
    main()
