"""A form of the user's own, written as a sum of powers: ``E + A/N^alpha + B/D^beta + G/(N^g*D^h)``.

Read by hand, never evaluated. A name is a variable when it is one of N, D, C, U or a column of the table; in an exponent it is a
parameter; elsewhere it is the coefficient of its term, of which each term has one.
"""

import re

from laimbench.errors import InputError
from laimbench.laws.forms.base import Parameter
from laimbench.laws.forms.powers import Factor, SumOfPowers, Term

SYMBOLS = {"N": "params", "D": "tokens", "C": "flops", "U": "unique_tokens"}
LONGEST, MOST_PARAMETERS = 400, 12
TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?)|(?P<sign>[-+*/^()]))"
)


def parse_form(text: str, columns: tuple[str, ...] = ()) -> SumOfPowers:
    """Return the sum of powers that the text describes.

    Args:
        text: for example ``L = E + A/N^alpha + B/D^0.5``; an exponent is a parameter's name or a number.
        columns: further names that are variables.

    Raises:
        InputError: naming the place in the text and what was expected there.
    """
    return _Parser(text, columns).form()


class _Parser:
    def __init__(self, text: str, columns: tuple[str, ...]):
        self.text, self.columns = text, columns
        body = text.partition("=")[2] if re.match(r"\s*L\s*=", text) else text
        self.start = len(text) - len(body)
        if len(text) > LONGEST:
            raise InputError(f"form has {len(text)} characters, expected at most {LONGEST}")
        self.tokens, at = [], self.start
        while text[at:].strip():
            match = TOKEN.match(text, at)
            if not match:
                raise self.error(at, "a name, a number, or one of + - * / ^ ( )")
            self.tokens.append((match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
            at = match.end()
        self.index = 0
        self.parameters: dict[str, str] = {}  # name -> kind, in order of appearance
        self.variables: list[str] = []

    def error(self, at: int, expected: str) -> InputError:
        found = self.text[at : at + 12].strip() or "the end"
        return InputError(f"form {self.text!r}: at character {at + 1} {found!r}, expected {expected}")

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.index] if self.index < len(self.tokens) else ("end", "", len(self.text))

    def take(self) -> tuple[str, str, int]:
        token = self.peek()
        self.index += 1
        return token

    def form(self) -> SumOfPowers:
        terms = [self.term()]
        while self.peek()[1] == "+":
            self.take()
            terms.append(self.term())
        kind, _, at = self.peek()
        if kind != "end":
            raise self.error(at, "+ and a further term, or the end")
        offsets = [coefficient for coefficient, factors in terms if not factors]
        if len(offsets) > 1:
            raise InputError(
                f"form {self.text!r}: {offsets[0]} and {offsets[1]} both stand alone, expected one at most"
            )
        if len(offsets) == len(terms):
            raise InputError(f"form {self.text!r}: no variable, expected some of {', '.join(self.known())}")
        if offsets:
            self.parameters[offsets[0]] = "offset"
        if len(self.parameters) > MOST_PARAMETERS:
            raise InputError(
                f"form {self.text!r}: {len(self.parameters)} parameters, expected at most {MOST_PARAMETERS}"
            )
        names = list(self.parameters)
        built = []
        for coefficient, factors in terms:
            powers = tuple(
                Factor(self.variables.index(variable), sign, names.index(e) if isinstance(e, str) else None,
                       e if isinstance(e, float) else 1.0)
                for variable, sign, e in factors
            )  # fmt: skip
            built.append(Term(names.index(coefficient), powers))
        return SumOfPowers(
            name="custom",
            equation="L = " + " ".join(self.text[self.start :].split()),
            variables=self.variables,
            parameters=[Parameter(name, kind) for name, kind in self.parameters.items()],
            terms=built,
            source="the user's own",
            notes="A sum of powers with positive coefficients.",
        )

    def known(self) -> list[str]:
        return [*SYMBOLS, *self.columns]

    def term(self) -> tuple[str, list[tuple[str, float, str | float]]]:
        """coefficient, and (variable, sign, exponent) per power."""
        start = self.peek()[2]
        coefficients: list[str] = []
        factors = self.product(1.0, coefficients, in_group=False)
        if len(coefficients) != 1:
            raise self.error(
                start, f"a term with one coefficient (has {len(coefficients)}: {', '.join(coefficients) or 'none'})"
            )
        return coefficients[0], factors

    def product(self, sign: float, coefficients: list[str], in_group: bool):
        factors = self.factor(sign, coefficients, in_group)
        while self.peek()[1] in ("*", "/"):
            over = self.take()[1] == "/"
            factors += self.factor(-sign if over else sign, coefficients, in_group or over)
        return factors

    def factor(self, sign: float, coefficients: list[str], below: bool):
        kind, word, at = self.take()
        if word == "(":
            inside = self.product(sign, coefficients, in_group=True)
            _, closing, at = self.take()
            if closing != ")":
                raise self.error(at, ")")
            return inside
        if kind != "name":
            raise self.error(at, "a variable or a coefficient's name")
        variable = SYMBOLS.get(word) or (word if word in self.columns else None)
        if variable is None:
            if below:
                raise self.error(at, f"a variable ({', '.join(self.known())}) after / and in parentheses")
            coefficients.append(word)
            self.declare(word, "log", at)
            return []
        if variable not in self.variables:
            self.variables.append(variable)
        if self.peek()[1] != "^":
            return [(variable, sign, 1.0)]
        self.take()
        negative = self.peek()[1] == "-"
        if negative:
            self.take()
        kind, word, at = self.take()
        if kind not in ("name", "number") or word in SYMBOLS or word in self.columns:
            raise self.error(at, "an exponent: a parameter's name or a number")
        if kind == "name":
            self.declare(word, "plain", at)
        return [(variable, -sign if negative else sign, word if kind == "name" else float(word))]

    def declare(self, name: str, kind: str, at: int) -> None:
        if self.parameters.setdefault(name, kind) != kind:
            raise self.error(at, f"{name} either as a coefficient or as an exponent, not both")
