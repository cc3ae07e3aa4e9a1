"""Run `waymark`, the command line of operators."""

from workers.cli.main import main

if __name__ == "__main__":
    main()
