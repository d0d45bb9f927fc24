"""Tests of the measurements that are not part of the package."""
