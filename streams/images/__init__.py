"""One reader of pictures: which files are pictures, and what their bytes show."""
