"""From recipes and a lock to derivations; pure: what it needs of the world is handed in."""
