"""pandas reads every view for people's tools: one row a part, times with their zone, numbers."""

import pandas as pd
import pytest

from history.bi import apply_bi
from history.plant_times import PlantTimes
from history.writer import PostgresHistoryWriter
from streams.codes import Action, DecisionSource
from tests.history import make
from tests.history.views import read_views


@pytest.mark.asyncio
async def test_every_view_is_a_table_of_plain_columns(
    url: str, writer: PostgresHistoryWriter
) -> None:
    scrapped = make.decision(1, DecisionSource.CLASSIFIER, Action.SCRAP, "lötfehler")
    passed = [make.decision(number) for number in range(2, 6)]
    await writer.add_decisions([scrapped, *passed])
    await writer.add_acknowledgements([make.acknowledgement(scrapped)])
    await apply_bi(url, PlantTimes())
    views = await read_views(url)
    assert {"bi.part", "bi.quality_by_hour", "bi.defect_pareto"} <= set(views)
    parts = views["bi.part"]
    assert len(parts) == parts["part_id"].nunique() == 5
    assert parts.groupby("action").size().to_dict() == {"pass": 4, "scrap": 1}
    assert isinstance(parts["captured_at"].dtype, pd.DatetimeTZDtype)
    assert views["bi.quality_by_hour"]["parts"].sum() == 5
    assert list(views["bi.defect_pareto"]["class_name"]) == ["lötfehler"]
