"""What near duplicates are measured on: scenes, and what is done to copies of them."""
