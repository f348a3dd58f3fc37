"""The session: a handle of one open transaction, which queries take as their first argument.

`Store.read()` and `Store.write()` open it. It is valid only inside their `with` block.
"""

from sqlmodel import Session

__all__ = ["Session"]
