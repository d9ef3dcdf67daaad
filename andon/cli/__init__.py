"""One module per subcommand, each with a Typer ``app``; imported only when called."""
