"""Who pulls when: tickets that limit how many nodes pull at once, and a spread by node name without them."""
