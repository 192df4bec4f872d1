# SPDX-License-Identifier: BSD-3-Clause
"""Detectors: a confidence, a threshold on it, and a decision with a guarantee."""
