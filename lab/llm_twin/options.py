"""Options of a classifier over a twin that runs on this machine."""


def twin_options(base_url: str, **endpoint: object) -> dict[str, object]:
    """``classifier.options`` for VELM or a cascade over a local twin at ``base_url``."""
    twin = {"name": "twin", "base_url": base_url, "model": "twin", "zone": "loopback"}
    return {
        "endpoints": [{**twin, "logprobs": True, **endpoint}],
        "cascade": {"order": ["prototypes", "twin"]},
    }
