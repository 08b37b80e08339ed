"""Write nodeprefetch/aggregator/web/page/remedies.js, the page's copy of what to do about errors.

python -m tests.golden.remedies
"""

import json
from pathlib import Path

from nodeprefetch.cluster.advice import _BY_CLASS, PAGE, REMEDIES

FILE = Path(__file__).parents[2] / "nodeprefetch/aggregator/web/page/remedies.js"


def script() -> str:
    """Return the file's content."""
    remedies = {reason: list(remedy) for reason, remedy in sorted(REMEDIES.items())}
    return (
        "// What to do about an error: written by `python -m tests.golden.remedies`.\n\n"
        f"export const GUIDE = {json.dumps(PAGE)};\n\n"
        "/** @type {Record<string, [string, string]>} advice, and the section of the guide, by reason */\n"
        f"export const REMEDIES = {json.dumps(remedies, indent=2)};\n\n"
        "/** @type {Record<string, string>} reasons that stand for one that is not known, by error class */\n"
        f"export const BY_CLASS = {json.dumps(_BY_CLASS, indent=2)};\n"
    )


if __name__ == "__main__":
    FILE.write_text(script(), "utf-8")
