"""The made-up set of ``andon benchmark expert --smoke``."""

from pathlib import Path

from lab.datasets.folders import load_dataset
from lab.datasets.made_up import write_smoke_set
from serving.experts.images import read_image


def test_it_is_a_data_set_with_parts_and_masks_of_what_was_changed(tmp_path: Path) -> None:
    write_smoke_set(tmp_path)
    found = load_dataset(tmp_path, "disjoint")
    assert (len(found.train), len(found.test), found.classes) == (24, 22, ("scratch", "stain"))
    assert len({s.group for s in found.train}) == 12
    for sample in found.test:
        assert (sample.mask is not None) == sample.anomalous
    for label, sign in (("scratch", 1), ("stain", -1)):
        odd = next(s for s in found.test if s.label == label)
        assert odd.mask is not None
        mask = read_image(odd.mask)[:, :, 0] > 127
        assert 0 < mask.mean() < 0.05
        image = read_image(odd.path).astype(int)
        assert sign * (image[mask].mean() - image[~mask].mean()) > 50
