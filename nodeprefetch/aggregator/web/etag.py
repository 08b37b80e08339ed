"""Conditional requests: whether a client has a response already."""


def is_known(tag: str, header: str) -> bool:
    """Whether If-None-Match names the tag, by weak comparison (RFC 9110, section 13.1.2).

    Args:
        tag: of the response, with its quotes and maybe `W/`.
        header: the request's If-None-Match; may be empty.
    """
    known = [each.strip().removeprefix("W/") for each in header.split(",")]
    return header.strip() == "*" or tag.removeprefix("W/") in known
