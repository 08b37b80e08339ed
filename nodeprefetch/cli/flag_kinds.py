"""What the commands declare their flags with: groups, and kinds of flags."""

from cyclopts import Group, Parameter

# In this order in --help and in docs/reference.md; within a group in the order of the fields below.
CLUSTER = Group.create_ordered("Cluster")
INSTANCE = Group.create_ordered("Instance")
IMAGES = Group.create_ordered("Images")
SCHEDULE = Group.create_ordered("Schedule")
TIMEOUTS = Group.create_ordered("Timeouts and retries")
CREDENTIALS = Group.create_ordered("Credentials")
RUNTIME = Group.create_ordered("Runtime")
DISK = Group.create_ordered("Disk")
ACROSS_NODES = Group.create_ordered("Across nodes")
NEW_NODES = Group.create_ordered("New nodes")
REPORTING = Group.create_ordered("Reporting")
OUTPUT = Group.create_ordered("Output")
OTHER = Group.create_default_parameters()


def flag(text: str, metavar: str | None = None, *, group: Group = OTHER) -> Parameter:
    """A flag with a value."""
    return Parameter(help=text, metavar=metavar, negative="", group=group)


def switch(text: str, *, group: Group = OTHER, from_environment: bool = True) -> Parameter:
    """A flag without a value.

    Args:
        text: the help.
        group: where it stands in the help.
        from_environment: False for a switch that makes a command destructive, or that another command has as a flag
            with a value. Its environment variable is not read.
    """
    return Parameter(help=text, negative="", show_default=False, group=group, show_env_var=from_environment)


def many(text: str, metavar: str, group: Group) -> Parameter:
    """A flag that may be repeated."""
    return Parameter(help=text, metavar=metavar, negative="", show_default=False, group=group)


def duration(text: str, group: Group) -> Parameter:
    """A Go-style duration. It is parsed later, so that it is reported with all other problems."""
    return flag(text, "DURATION", group=group)
