"""Finds the message in an error that wraps others, as errors of network libraries do."""


def innermost_message(error: BaseException) -> str:
    """The message of the innermost cause: the outer errors only repeat that a connection failed."""
    message, seen = "", [error]
    while seen:
        current = seen.pop()
        message = str(current) or message
        if isinstance(current, BaseExceptionGroup):
            seen.append(current.exceptions[0])
        elif inner := current.__cause__ or next((arg for arg in current.args if isinstance(arg, BaseException)), None):
            seen.append(inner)
    return message or type(error).__name__
