# SPDX-License-Identifier: Apache-2.0
"""Programs that import a name from where it was in former releases get the same object."""

import importlib

import pytest

SAME = [
    ("libmemif_py.metrics", "libmemif_py.adapters.metrics", "InterfaceCollector"),
    ("libmemif_py.scapy_adapter", "libmemif_py.adapters.scapy", "MemifSocket"),
    *(
        ("libmemif_py.interface", f"libmemif_py.{module}", name)
        for module, names in {
            "details": ("Details", "Peer"),
            "errors": ("Timeout",),
            "settings": ("Mode", "Role", "RxMode", "Unsealed"),
        }.items()
        for name in names
    ),
    *(
        ("libmemif_py", f"libmemif_py.{module}", name)
        for module, names in {
            "aio": ("AsyncInterface", "MemifTransport", "create_memif_endpoint"),
            "bursts": ("RxBurst", "TxBurst"),
            "counters": ("Counters", "RxCounters", "TxCounters"),
            "interface": ("Details", "Interface", "Peer", "Timeout"),
            "errors": ("MemifError",),
        }.items()
        for name in names
    ),
]


@pytest.mark.parametrize(("former", "home", "name"), SAME)
def test_a_name_is_the_same_object_in_both_modules(former, home, name):
    modules = [importlib.import_module(module) for module in (former, home)]
    assert getattr(modules[0], name) is getattr(modules[1], name)
