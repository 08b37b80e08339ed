"""Where the program starts. What needs to be small or quick is done here, before anything large is imported."""

import sys


def main() -> None:
    """The console script. Exits with the code of the command."""
    match sys.argv[1:]:
        case ["sleep"]:
            from nodeprefetch.sleep import sleep  # noqa: PLC0415

            sys.exit(sleep())
        case ["--version"]:
            from nodeprefetch import __version__  # noqa: PLC0415

            sys.stdout.write(f"{__version__}\n")
            sys.exit(0)
        case arguments:
            from nodeprefetch.cli import run  # noqa: PLC0415

            sys.exit(run(arguments))


if __name__ == "__main__":
    main()
