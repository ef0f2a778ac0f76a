"""Publishing layer zips as layer versions in AWS, and naming them in templates."""
