"""The bounded cache."""

import pytest
from twisted.internet import task

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics


def test_it_gives_what_was_set() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    assert cache.get("a") == 1
    assert cache.get("b") is None
    assert cache.get("b", 7) == 7


def test_none_is_a_value_like_any_other() -> None:
    cache: Lru[str, int | None] = Lru("numbers", 2)
    cache.set("a", None)
    assert cache.get("a", 5) is None
    assert "a" in cache


def test_the_one_used_longest_ago_goes_first() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    cache.set("b", 2)
    cache.get("a")
    cache.set("c", 3)
    assert "a" in cache and "c" in cache and "b" not in cache
    assert cache.evictions == 1


def test_a_size_of_zero_keeps_nothing() -> None:
    cache: Lru[str, int] = Lru("off", 0)
    cache.set("a", 1)
    assert len(cache) == 0


def test_hits_and_misses_are_counted() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    cache.get("a")
    cache.get("b")
    cache.get("b")
    assert (cache.hits, cache.misses) == (1, 2)


def test_what_is_invalidated_is_gone_and_moves_the_version() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    before = cache.version
    cache.invalidate("a")
    assert "a" not in cache
    assert cache.version > before


def test_a_query_that_an_invalidation_overtook_is_not_kept() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    version = cache.version
    cache.invalidate("a")
    cache.set_if_unchanged("a", 1, version)
    assert "a" not in cache
    cache.set_if_unchanged("a", 2, cache.version)
    assert cache.get("a") == 2


def test_pop_takes_the_value_out() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    assert cache.pop("a") == 1
    assert cache.pop("a") is None
    assert cache.pop("a", 9) == 9


def test_clear_forgets_everything() -> None:
    cache: Lru[str, int] = Lru("numbers", 2)
    cache.set("a", 1)
    cache.clear()
    assert len(cache) == 0


def test_what_is_too_old_is_gone() -> None:
    reactor = task.Clock()
    cache: Lru[str, int] = Lru("numbers", 5, Clock(reactor), ttl_s=10)
    cache.set("a", 1)
    reactor.advance(9.9)
    assert cache.get("a") == 1
    reactor.advance(0.1)
    assert cache.get("a") is None
    assert len(cache) == 0
    assert cache.pop("a") is None


def test_setting_again_renews_the_time_to_live() -> None:
    reactor = task.Clock()
    cache: Lru[str, int] = Lru("numbers", 5, Clock(reactor), ttl_s=10)
    cache.set("a", 1)
    reactor.advance(9)
    cache.set("a", 2)
    reactor.advance(9)
    assert cache.get("a") == 2


def test_a_time_to_live_needs_a_clock() -> None:
    with pytest.raises(ValueError, match="numbers"):
        Lru("numbers", 5, ttl_s=10)


def test_a_scrape_shows_its_counts() -> None:
    metrics = Metrics()
    cache: Lru[str, int] = Lru("numbers", 5, metrics=metrics)
    cache.set("a", 1)
    cache.get("a")
    text = metrics.exposition()[0].decode()
    assert 'hearth_cache_hits_total{cache="numbers"} 1.0' in text
    assert 'hearth_cache_size{cache="numbers"} 1.0' in text
