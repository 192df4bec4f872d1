# SPDX-License-Identifier: BSD-3-Clause
"""Splitters to choose settings with few or no out-of-distribution samples."""

from confident_clf.model_selection._split import LeaveClassesOut, OODKFold

__all__ = ["LeaveClassesOut", "OODKFold"]
