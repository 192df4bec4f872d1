# SPDX-License-Identifier: BSD-3-Clause
"""All that is done to a network: build it, try it, run it, look inside."""
