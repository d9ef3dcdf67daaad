"""One module or package per subcommand, each with a Typer ``app``."""
