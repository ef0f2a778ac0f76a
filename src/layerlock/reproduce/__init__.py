"""What two builds, two layers or two locks have in common, and where they part."""
