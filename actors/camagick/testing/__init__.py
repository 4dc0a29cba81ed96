"""Checks for processors, for those who write their own as well."""

from camagick.testing.contract import check_class, check_processor, heavy_imports

__all__ = ["check_class", "check_processor", "heavy_imports"]
