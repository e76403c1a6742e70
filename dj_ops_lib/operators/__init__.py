"""One file per operator, in the folder of its kind; found by scanning, no central list."""
