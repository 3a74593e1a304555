"""relevox: from MRI scans and a clinical score to an explained classifier."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("relevox")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0"
