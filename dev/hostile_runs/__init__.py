"""The attacks of dev/hostile, by theme: each is a small function that says what must hold."""
