"""`keep`: a small supervisor that stays on the node, and executes `fetch` when there is something to do.

Loads nothing but a few C modules: it must stay as small as `sleep`. So no dataclasses, enums, `json` or `signal` here.
"""
