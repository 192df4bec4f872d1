# SPDX-License-Identifier: BSD-3-Clause
"""A fitted estimator as one torch module, from samples to decisions."""
