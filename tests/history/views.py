"""The views for other people's tools, read as an analyst does: by pandas."""

import pandas as pd
from sqlalchemy import Connection, text

from history.database import make_engine

VIEWS = """
SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname = 'bi' ORDER BY 1
"""


async def read_views(url: str) -> dict[str, pd.DataFrame]:
    """Every view of the schema ``bi``, whole."""

    def read(connection: Connection) -> dict[str, pd.DataFrame]:
        names = [str(row[0]) for row in connection.execute(text(VIEWS))]
        return {name: pd.read_sql(text(f"SELECT * FROM {name}"), connection) for name in names}

    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(read)
    finally:
        await engine.dispose()
