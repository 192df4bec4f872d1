# SPDX-License-Identifier: BSD-3-Clause
"""How estimators become files: a header of plain values, and tensors."""
