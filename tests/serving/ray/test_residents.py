"""What a replica keeps in memory."""

from dataclasses import dataclass
from typing import cast

import pytest

from serving.experts.expert import Expert
from serving.ray.residents import Loaded, Residents


@dataclass
class Sized:
    memory_bytes: int


def loaded(size: int = 10, version: str = "1") -> Loaded:
    return Loaded(cast(Expert, Sized(size)), version, 0.0)


def test_the_one_asked_for_longest_ago_is_let_go() -> None:
    residents = Residents(30)
    assert [residents.put(name, loaded()) for name in "abc"] == [[], [], []]
    assert residents.get("a") is not None
    assert residents.put("d", loaded()) == ["b"]
    assert list(residents.all) == ["c", "a", "d"]
    assert residents.used_bytes == 30


def test_as_many_go_as_a_large_one_needs_and_it_stays_whatever_it_takes() -> None:
    residents = Residents(30)
    for name in "abc":
        residents.put(name, loaded())
    assert residents.put("large", loaded(25)) == ["a", "b", "c"]
    assert residents.put("larger", loaded(99)) == ["large"]
    assert list(residents.all) == ["larger"]


def test_a_stations_product_stays_until_the_station_names_another() -> None:
    residents = Residents(20)
    residents.hold("line/1", "a")
    residents.hold("line/2", "b")
    for name in "abc":
        residents.put(name, loaded())
    assert list(residents.all) == ["a", "b", "c"]
    assert residents.used_bytes == 30
    residents.hold("line/1", "c")
    assert residents.held == {"b", "c"}
    assert residents.put("d", loaded()) == ["a"]


def test_a_new_version_takes_the_place_of_the_old_one() -> None:
    residents = Residents(20)
    residents.put("a", loaded())
    residents.put("a", loaded(15, "2"))
    found = residents.get("a")
    assert found is not None
    assert (found.version, residents.used_bytes) == ("2", 15)


@pytest.mark.parametrize(("versions", "left"), [({"a": "1"}, ["a"]), ({"a": "2"}, []), ({}, [])])
def test_what_no_version_names_is_let_go(versions: dict[str, str], left: list[str]) -> None:
    residents = Residents(20)
    residents.put("a", loaded())
    residents.put("b", loaded())
    residents.keep_only(versions)
    assert list(residents.all) == left
