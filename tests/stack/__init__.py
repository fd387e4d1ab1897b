"""A Supabase project as far as the Data API and migrations can see one, of real parts, on loopback.

A real Postgres with Supabase's roles, privileges and timeouts; a real PostgREST; and in front of it, in the place of
Supabase's gateway, `gateway.py`, which knows keys and makes faults on demand. `python -m stack` in tests/ starts one
and says how to reach it.
"""

from .cluster import Cluster
from .parts import MissingPartError, find_all
from .project import Project
from .running import Stack

__all__ = ["Cluster", "MissingPartError", "Project", "Stack", "find_all"]
