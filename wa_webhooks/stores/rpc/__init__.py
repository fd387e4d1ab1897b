"""The store over functions in Postgres: JSON in and out, one transaction each, whatever carries the calls.

The functions are in `sql/postgres`, one for a verb, `wa_<verb>`; each may be repeated if its answer was lost.
"""

from .calls import Transport
from .claims import Claims
from .finishing import Finishing
from .reading import Reading
from .rebuilding import Rebuilding
from .rejecting import Rejecting
from .runs import Runs

__all__ = ["RpcStore", "Transport"]


class RpcStore(Claims, Finishing, Runs, Reading, Rebuilding, Rejecting):
    """`Store` over a transport."""
