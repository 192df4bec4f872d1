# SPDX-License-Identifier: BSD-3-Clause
"""Splitters for choosing settings with few or no out-of-distribution samples."""

from confident_clf.model_selection._split import LeaveClassesOut, OODKFold

__all__ = ["LeaveClassesOut", "OODKFold"]
