"""Other people's programs that ours are checked and measured against, each in its own venv."""
