"""Synthetic deliveries: valid payloads of every known type, and sequences of them, in Meta's shapes.

Pure: the time and the source of randomness are given, so that the same ones give the same deliveries. Nobody in them
exists, and nobody can have the numbers.
"""

from .catalogue import NAMES, TEMPLATES
from .edits import Edit, apply, read_edit
from .making import Business, Made, Maker, body_of
from .people import Person, invented, read_lead
from .scenarios import SCENARIOS, Scenario, Step, together
from .sequence import Asked, Sequenced, paced, sequence
from .templates import Template

__all__ = [
    "NAMES",
    "SCENARIOS",
    "TEMPLATES",
    "Asked",
    "Business",
    "Edit",
    "Made",
    "Maker",
    "Person",
    "Scenario",
    "Sequenced",
    "Step",
    "Template",
    "apply",
    "body_of",
    "invented",
    "paced",
    "read_edit",
    "read_lead",
    "sequence",
    "together",
]
