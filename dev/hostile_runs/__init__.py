"""The attacks of dev/hostile by theme: each is a small function with its expectations."""
