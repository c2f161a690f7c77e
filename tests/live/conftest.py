"""The fixture ``lab`` is in ``tests/conftest.py``: the contract suites need it, too."""
