"""Build the kubectl plugin as one file, and what krew needs to install it."""
