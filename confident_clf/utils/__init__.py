# SPDX-License-Identifier: BSD-3-Clause
"""Seeding, devices, validation, and the one home of private scikit-learn imports."""
