"""The one exception that is shown to a user without a stack trace."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: the message names the thing and the remedy."""
