# SPDX-License-Identifier: BSD-3-Clause
"""Everything between validated arrays and a trained net."""
