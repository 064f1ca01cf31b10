"""joblib and scikit-learn on the hosts of a cluster."""

from __future__ import annotations

import os
import sys
import warnings

import joblib
import numpy
import pytest
from easycluster import Cluster
from joblib import Parallel, delayed
from support.counted import hosts_behind, relays_to

# In one process of the run, which shares the cluster; scikit-learn is imported where it is used, which takes three seconds.
pytestmark = pytest.mark.xdist_group("joblib")


class Point:
    def __init__(self, x):
        self.x = x


def moved(point):
    return point.x + 1


@pytest.fixture(scope="module")
def cluster():
    with Cluster([":local:rpython=%s:name=host%d" % (sys.executable, n) for n in range(3)], output=None) as made:
        yield made


def test_parallel_gives_the_results_in_order(cluster):
    with cluster.joblib():
        assert Parallel()(delayed(pow)(n, 2) for n in range(200)) == [n * n for n in range(200)]
        factor = 3
        assert Parallel()(delayed(lambda n: n * factor)(n) for n in range(10)) == [n * 3 for n in range(10)]
        assert list(Parallel(return_as="generator")(delayed(abs)(-n) for n in range(10))) == list(range(10))
        pids = Parallel(batch_size=1)(delayed(__import__("os").getpid)() for _ in range(60))
        assert len(set(pids)) == 3


def test_own_classes_travel_with_the_calls(cluster):
    with cluster.joblib():
        assert Parallel()(delayed(moved)(Point(n)) for n in range(5)) == [1, 2, 3, 4, 5]


def test_what_is_raised_is_raised_here(cluster):
    with cluster.joblib():
        with pytest.raises(ZeroDivisionError):
            Parallel()(delayed(divmod)(1, n) for n in (1, 0, 2))
        # It serves on.
        assert Parallel()(delayed(abs)(n) for n in (-1,)) == [1]


def test_results_of_any_type_need_trust(cluster):
    linear_model = pytest.importorskip("sklearn.linear_model")
    with cluster.joblib():
        with pytest.raises(Exception, match="trust=True"):
            Parallel()(delayed(linear_model.LogisticRegression)() for _ in range(2))
    with cluster.joblib(trust=True):
        made = Parallel()(delayed(linear_model.LogisticRegression)() for _ in range(2))
    assert all(isinstance(each, linear_model.LogisticRegression) for each in made)


def test_a_large_array_is_sent_once_to_each_process(cluster):
    array = numpy.arange(1 << 20, dtype=float)
    sent = []
    slots = cluster._slots_now(None)
    for slot in slots:
        slot.hold = lambda number, value, slot=slot: (
            sent.append((slot.host, value.nbytes)),
            type(slot).hold(slot, number, value),
        )
    try:
        with cluster.joblib():
            sums = Parallel(batch_size=1)(delayed(numpy.sum)(array * 0 + n if n < 0 else array) for n in range(30))
    finally:
        for slot in slots:
            del slot.hold
    assert sums == [array.sum()] * 30
    assert 1 <= len(sent) <= 3 and len(set(sent)) == len(sent)
    # They are forgotten at the end.
    kept = cluster.eval("len(__import__('sys').modules['easycluster_values'].value.__globals__['values'])")
    assert set(kept.values()) == {0}


@pytest.fixture
def relays(sshd):
    with relays_to(sshd, 3) as made:
        yield made


@pytest.fixture
def hosts(sshd, relays):
    return hosts_behind(sshd, relays)


def crossed_once(relays, before, X, rest=0.1):
    """Checks that an array went once to each host that got it, counted in bytes at the connections. `rest` is what the protocol of
    SSH and all else may take, as a share of the array. Gives to how many hosts it went."""
    crossed = [each.sent - start for each, start in zip(relays, before)]
    for size in crossed:
        assert X.nbytes <= size < (1 + rest) * X.nbytes or size < rest * X.nbytes, (crossed, X.nbytes)
    return sum(size >= X.nbytes for size in crossed)


def test_fifty_megabytes_cross_once_a_host(hosts, relays):
    X = numpy.random.default_rng(0).random(((50 << 20) // 400, 50))
    with Cluster(hosts, output=None) as cluster:
        before = [each.sent for each in relays]
        with cluster.joblib():
            sums = Parallel(batch_size=1)(delayed(numpy.sum)(X) for _ in range(60))
        assert crossed_once(relays, before, X) >= 1
    assert numpy.allclose(sums, X.sum())


def test_a_grid_search_sends_fifty_megabytes_once_a_host_of_several_processes(hosts, relays):
    GridSearchCV = pytest.importorskip("sklearn.model_selection").GridSearchCV
    from sklearn.naive_bayes import GaussianNB

    rng = numpy.random.default_rng(0)
    X = rng.random(((50 << 20) // 400, 50))
    y = rng.integers(0, 2, len(X))
    X[:, 0] += y
    # More fits than there are processes, and no more: each goes through all of it.
    grid = {"var_smoothing": [1e-9, 1e-3, 1.0]}
    here = GridSearchCV(GaussianNB(), grid, cv=2).fit(X, y)
    with Cluster(hosts[:2], output=None, slots=2) as cluster:
        before = [each.sent for each in relays[:2]]
        with cluster.joblib(trust=True):
            there = GridSearchCV(GaussianNB(), grid, cv=2).fit(X, y)
        # The numbers of the rows of each split are part of each call.
        assert crossed_once(relays[:2], before, X, 0.3) == 2
        # They are forgotten at the end, also where they were shared.
        gone = "len(__import__('sys').modules['easycluster_values'].value.__globals__['values'])"
        for slot in cluster._slots_now(None):
            assert slot.client.eval(gone) == 0
    assert there.best_params_ == here.best_params_
    assert numpy.allclose(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])


def test_scikit_learn_runs_unchanged(cluster):
    make_classification = pytest.importorskip("sklearn.datasets").make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    X, y = make_classification(n_samples=400, n_features=10, random_state=0)
    grid = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}, cv=3)
    here = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}, cv=3).fit(X, y)
    with cluster.joblib(trust=True):
        there = grid.fit(X, y)
        forest = RandomForestClassifier(n_estimators=20, random_state=0).fit(X, y)
        scores = cross_val_score(LogisticRegression(max_iter=500), X, y, cv=4)
    assert there.best_params_ == here.best_params_
    assert numpy.allclose(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    assert forest.score(X, y) == RandomForestClassifier(n_estimators=20, random_state=0).fit(X, y).score(X, y)
    assert len(scores) == 4


def test_nested_parallel_runs_in_threads_there(cluster):
    def inner(n):
        from joblib import Parallel, delayed

        return sum(Parallel(n_jobs=2)(delayed(abs)(-k) for k in range(n)))

    with cluster.joblib():
        assert Parallel()(delayed(inner)(n) for n in range(5)) == [0, 0, 1, 3, 6]


def test_a_host_without_the_packages_is_named(cluster, tmp_path):
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\nexec %s -S "$@"\n' % sys.executable)
    bare.chmod(0o755)
    with Cluster([":local:rpython=%s:name=bare%d" % (bare, number) for number in range(2)], output=None) as other:
        with pytest.raises(
            ImportError, match=r"bare0 has no joblib.*bare1 has no joblib.*Install.*Environment\(\[.*'joblib=="
        ):
            with other.joblib():
                pass


def test_numbers_of_jobs_are_those_of_joblib(cluster):
    with cluster.joblib(inner_max_num_threads=1):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            backend, _ = joblib.parallel.get_active_backend()
        assert [backend.effective_n_jobs(n) for n in (None, -1, -2, 2, 100)] == [3, 3, 2, 2, 3]
        with pytest.raises(ValueError):
            backend.effective_n_jobs(0)
        assert Parallel()(delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(3)) == ["1"] * 3
