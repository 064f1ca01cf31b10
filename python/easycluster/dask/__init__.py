"""Dask on the hosts of a cluster: `cluster.dask()`, and the same as a class for code that takes a cluster of Dask's."""

from __future__ import annotations

from .._errors import needing

with needing("'dask[distributed]'", 'easycluster.dask'):
    from .cluster import EasyCluster

__all__ = ['EasyCluster']
