"""What Serve builds by kind, with a taught bundle, against the twin."""

from pathlib import Path

import pytest

from lab.llm_twin.server import TwinServer, twin_options
from serving.naming.build import build_classifier
from serving.naming.teaching import Lesson, teach_product
from streams.events import Classification
from tests.lab.llm_twin.kit import PRODUCT, crack, png, pore, request, surface

pytestmark = pytest.mark.slow  # compiles the backbone


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three examples of each class and ten normals."""
    lessons = [
        Lesson(name, png(draw(i)[0]), draw(i)[1], f"{name}-{i}")
        for name, draw in (("crack", crack), ("pore", pore))
        for i in range(10, 13)
    ]
    normals = [png(surface(i)) for i in range(50, 60)]
    return teach_product(tmp_path_factory.mktemp("exemplars"), PRODUCT, lessons, normals=normals)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "calls", "stages"), [("velm", 2, ()), ("cascade", 0, ("prototypes",))]
)
async def test_every_kind_names_both(
    server: TwinServer, bundle: Path, kind: str, calls: int, stages: tuple[str, ...]
) -> None:
    classifier = build_classifier(kind, twin_options(server.base_url), {PRODUCT: bundle})
    await classifier.start()
    try:
        answers = [
            await classifier.classify(asked, 60)
            for asked in (request(), request(*pore(), number=2))
        ]
    finally:
        await classifier.close()
    assert [a.class_name for a in answers if isinstance(a, Classification)] == ["crack", "pore"]
    assert all(a.stages == stages for a in answers if isinstance(a, Classification))
    assert server.twin.counters.requests == calls
    assert server.twin.counters.rejected == 0


@pytest.mark.asyncio
async def test_velm_shows_the_nearest_normal_of_the_bundle(
    server: TwinServer, bundle: Path
) -> None:
    classifier = build_classifier("velm", twin_options(server.base_url), {PRODUCT: bundle})
    await classifier.start()
    answer = await classifier.classify(request(), 60)
    await classifier.close()
    assert isinstance(answer, Classification)
    assert answer.tokens_in > 3 * 255  # three pictures, the reference among them
