"""One real Ray for the tests that need it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.stack.process import free_port
from infra.stack.ray_local import LocalRay, start_ray
from serving.ray.deploy import Config, deploy, serve_config
from tests.serving.ray.tiny import CLASSIFIER, LOADER, save_tiny

TEMPLATE = Path("infra/serve.yaml")


@dataclass
class Cluster:
    """A Ray head and the stores of its application."""

    ray: LocalRay
    artifacts: Path
    exemplars: Path
    name: str = "andon"
    ingress: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    """Where workers call the application."""

    def config(
        self, products: dict[str, str], replicas: int | None = None, **args: object
    ) -> Config:
        """The application on tiny models, with as many replicas as the file says or as given."""
        given: dict[str, object] = {
            "artifacts": str(self.artifacts),
            "exemplars": str(self.exemplars),
            "ingress": self.ingress,
            "vision": {"loader": LOADER},
            "classifier": {"kind": CLASSIFIER},
        }
        config = serve_config(TEMPLATE, products, {}, {**given, **args}, application=self.name)
        for deployment in config["applications"][0]["deployments"]:
            deployment["num_replicas"] = replicas or deployment["num_replicas"]
        return config

    def deploy(self, products: dict[str, str]) -> None:
        deploy(self.config(products, replicas=1), self.ray.address, 300, self.ray.token_file)


@pytest.fixture(scope="session")
def ray_head() -> Iterator[LocalRay]:
    with start_ray(ready_timeout_s=180) as head:
        yield head


@pytest.fixture(scope="session")
def cluster(ray_head: LocalRay, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The application, deployed with one tiny expert for ``tile``."""
    folder = tmp_path_factory.mktemp("serve")
    made = Cluster(ray_head, folder / "artifacts", folder / "exemplars")
    made.deploy({"tile": save_tiny(made.artifacts)})
    return made
