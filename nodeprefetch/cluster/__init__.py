"""What people and scripts ask about an installation from outside: is it warm, and if not, why."""
