"""Functional forms of scaling laws; ``FORMS`` names them for the command line."""

from laimbench.errors import InputError
from laimbench.laws.forms.base import Form, Parameter
from laimbench.laws.forms.curves import Broken, Kaplan, Repeated, Sigmoid
from laimbench.laws.forms.powers import CHINCHILLA, POWER_LAW, SumOfPowers, power_law
from laimbench.laws.forms.text import parse_form

KAPLAN, REPEATED = Kaplan(), Repeated()
FORMS = ("chinchilla", "kaplan", "power", "broken", "repeated", "sigmoid")

__all__ = [
    "CHINCHILLA", "FORMS", "KAPLAN", "POWER_LAW", "REPEATED", "Broken", "Form", "Kaplan", "Parameter", "Repeated", "Sigmoid",
    "SumOfPowers", "get_form", "parse_form", "power_law",
]  # fmt: skip


def get_form(name: str, variables: tuple[str, ...] = (), columns: tuple[str, ...] = ()) -> Form:
    """Return a form by its name, or parse the name as a sum of powers when it has more than a word.

    Args:
        name: one of FORMS, or a text such as ``E + A/N^a``.
        variables: what "power", "broken" (one) and "sigmoid" (one or more) are laws in; flops by default.
        columns: names that count as variables in a text.

    Raises:
        InputError: unknown name, or variables where the form has its own.
    """
    fixed = {"chinchilla": CHINCHILLA, "kaplan": KAPLAN, "repeated": REPEATED}
    if name in fixed:
        if variables:
            raise InputError(f"form {name} is a law in {', '.join(fixed[name].variables)}, expected no other variables")
        return fixed[name]
    if name in ("power", "broken"):
        if len(variables) > 1:
            raise InputError(f"form {name} got {', '.join(variables)}, expected one variable")
        return (power_law if name == "power" else Broken)(*variables)
    if name == "sigmoid":
        return Sigmoid(*variables)
    if any(sign in name for sign in "+/*^"):
        return parse_form(name, columns)
    raise InputError(f"form is {name!r}, expected one of {', '.join(FORMS)}, or a sum of powers such as 'E + A/N^a'")
