"""A module or package for each subcommand, with a Typer ``app``, and what several of them share."""
