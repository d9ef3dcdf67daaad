"""The history for other tools: lines, Parquet, and folders of labelled pictures."""
