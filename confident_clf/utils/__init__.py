# SPDX-License-Identifier: BSD-3-Clause
"""Small helpers without a room of their own, and the homes of private names."""
