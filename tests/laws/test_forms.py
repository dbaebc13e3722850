"""Forms: values against plain equations, derivatives against finite differences, names and limits, and the reader of users' own forms."""

import numpy as np
import pytest

from laimbench.errors import InputError
from laimbench.laws.forms import CHINCHILLA, KAPLAN, POWER_LAW, REPEATED, Broken, Sigmoid, get_form, jet, parse_form
from laimbench.laws.forms.base import MOST_STARTS, Form, Parameter, log_columns, to_theta

CUSTOM = "E + A/N^a + B/D^b + G/(N^g*D^h)"


def repeated(E, A, alpha, B, beta, R_D, R_N, N, D, U):
    unique = np.minimum(U, D)
    data = unique * (1 + R_D * (1 - np.exp(-(D / unique - 1) / R_D)))
    optimal = (alpha * A / (beta * B)) ** (1 / alpha) * unique ** (beta / alpha)
    base = np.minimum(optimal, N)
    params = base * (1 + R_N * (1 - np.exp(-(N / base - 1) / R_N)))
    return E + A / params**alpha + B / data**beta


# form, the equation in natural parameters, one set of them
CASES = {
    "chinchilla": (CHINCHILLA, lambda E, A, a, B, b, N, D: E + A / N**a + B / D**b, (1.7, 400, 0.34, 900, 0.31)),
    "power": (POWER_LAW, lambda E, a, b, C: E + a * C**-b, (1.5, 300, 0.15)),
    "kaplan": (
        KAPLAN,
        lambda Nc, an, Dc, ad, N, D: ((Nc / N) ** (an / ad) + Dc / D) ** ad,
        (8.8e13, 0.076, 5.4e13, 0.095),
    ),
    "broken": (
        Broken(),
        lambda E, a, b, c, xb, f, x: E + a * x**-b * (1 + (x / xb) ** (1 / f)) ** (-c * f),
        (1.1, 30, 0.06, 0.1, 1e9, 0.4),
    ),
    "repeated": (REPEATED, repeated, (1.7, 400, 0.34, 900, 0.31, 15.4, 5.3)),
    "sigmoid": (
        Sigmoid("flops"),
        lambda low, high, k, half, x: low + (high - low) / (1 + (x / half) ** -k),
        (0.1, 0.9, 0.4, 1e9),
    ),
    "sigmoid of two": (
        Sigmoid("params", "tokens"),
        lambda low, high, k, m, z, N, D: low + (high - low) / (1 + np.exp(-z - k * np.log(N) - m * np.log(D))),
        (0.1, 0.9, 0.3, -0.2, -2.0),
    ),
    "custom": (
        parse_form(CUSTOM),
        lambda E, A, a, B, b, G, g, h, N, D: E + A / N**a + B / D**b + G / (N**g * D**h),
        (1.7, 400, 0.34, 900, 0.31, 50, 0.1, 0.2),
    ),
    "no offset, a number as exponent": (
        parse_form("A*N^-0.3*D^-b"),
        lambda A, b, N, D: A * N**-0.3 * D**-b,
        (4000, 0.12),
    ),
    "a shared exponent": (
        parse_form("E + A/N^a + B/(D^a*N^a)"),
        lambda E, A, a, B, N, D: E + A / N**a + B / (N * D) ** a,
        (1.7, 400, 0.3, 900),
    ),
}
forms = pytest.mark.parametrize("case", CASES)


def rows(form, count=25, seed=0):
    rng = np.random.default_rng(seed)
    log_x = rng.uniform(16, 24, (len(form.variables), count))
    y = rng.uniform(0.8, 1.2, count) if form.link == "log" else rng.uniform(0.2, 0.9, count)
    return log_x, y


def points(form, natural, count=4, seed=1):
    return form.from_natural(np.array(natural)) + np.random.default_rng(seed).normal(0, 0.05, (count, form.size))


@forms
def test_the_value_is_that_of_the_plain_equation(case):
    form, equation, natural = CASES[case]
    log_x, _ = rows(form)
    columns = tuple(np.exp(log_x))
    expected = equation(*natural, *columns)
    theta = form.from_natural(np.array(natural))
    np.testing.assert_allclose(form.at(theta, *columns), expected, rtol=1e-12)
    value = form.evaluate(np.stack([theta, theta]), form.design(log_x))[0]
    np.testing.assert_allclose(value, np.tile(form.to_link(expected), (2, 1)), rtol=1e-12)
    assert form.at(np.tile(theta, (2, 3, 1)), *columns).shape == (2, 3, log_x.shape[1])


@forms
def test_jacobian_gradient_and_hessian_are_those_of_finite_differences(case):
    form, _, natural = CASES[case]
    log_x, _ = rows(form)
    design, theta = form.design(log_x), points(form, natural)
    value, state = form.evaluate(theta, design)
    rng = np.random.default_rng(2)
    slope, curvature = rng.normal(size=value.shape), rng.uniform(size=value.shape)
    gradient, hessian = form.derivatives(state, slope, curvature)
    jacobian = form.jacobian(state)
    assert gradient.shape == (form.size, 4)
    np.testing.assert_array_equal(hessian, hessian.swapaxes(0, 1))
    np.testing.assert_allclose((slope * jacobian).sum(-1), gradient, rtol=1e-9, atol=1e-12 * np.abs(gradient).max())
    for i in range(form.size):
        step = np.zeros(form.size)
        step[i] = 1e-5
        (above, up), (below, down) = form.evaluate(theta + step, design), form.evaluate(theta - step, design)
        numeric = (above - below) / 2e-5
        np.testing.assert_allclose(numeric, jacobian[i], rtol=1e-6, atol=1e-7 * np.abs(jacobian[i]).max() + 1e-10)
        # A sum over rows with this slope at theta and this curvature all over: its gradient's derivative is the Hessian.
        numeric = (
            form.derivatives(up, slope + curvature * (above - value), curvature)[0]
            - form.derivatives(down, slope + curvature * (below - value), curvature)[0]
        ) / 2e-5
        np.testing.assert_allclose(numeric, hessian[i], rtol=1e-5, atol=1e-7 * np.abs(hessian).max() + 1e-10)


class Jets(Form):
    """The law of CUSTOM by jets, as a second opinion on the closed form."""

    name, equation, source, notes, variables = "jets", CUSTOM, "", "", ("params", "tokens")
    parameters = parse_form(CUSTOM).parameters

    def starts(self, log_x, y):
        raise NotImplementedError

    def expression(self, theta, log_x):
        offset, a, alpha, b, beta, g, gamma, eta = theta
        total = offset + jet.exp(a - alpha * log_x[0]) + jet.exp(b - beta * log_x[1])
        return jet.log(total + jet.exp(g - gamma * log_x[0] - eta * log_x[1]))


def test_sums_of_powers_agree_with_the_same_law_by_jets():
    form, other = parse_form(CUSTOM), Jets()
    log_x, _ = rows(form, 40)
    theta = points(form, CASES["custom"][2], 6)
    value, state = form.evaluate(theta, form.design(log_x))
    expected, by_jets = other.evaluate(theta, other.design(log_x))
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    rng = np.random.default_rng(3)
    slope, curvature = rng.normal(size=value.shape), rng.uniform(size=value.shape)
    np.testing.assert_allclose(form.jacobian(state), other.jacobian(by_jets), rtol=1e-12)
    for ours, theirs in zip(
        form.derivatives(state, slope, curvature), other.derivatives(by_jets, slope, curvature), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12 * np.abs(theirs).max())


def test_a_saturating_law_keeps_its_digits_where_it_hardly_saturates():
    columns = (np.full(3, 1e9), np.array([2e9, 4e9, 8e9]), np.full(3, 1e9))
    theta = np.tile(REPEATED.from_natural(np.array(CASES["repeated"][2])), (2, 1))
    theta[:, 5:] = np.log([[1e12, 1e12], [1e15, 1e15]])  # to 1 in 1e12 as if the data were new
    np.testing.assert_allclose(
        REPEATED.at(theta, *columns), np.tile(1.7 + 400 / 1e9**0.34 + 900 / columns[1] ** 0.31, (2, 1)), rtol=1e-10
    )


@forms
def test_parameters_go_to_theta_and_back(case):
    form, _, natural = CASES[case]
    theta = points(form, natural)
    np.testing.assert_allclose(form.from_natural(form.natural(theta)), theta, rtol=1e-12)
    values = dict(zip(form.names, natural, strict=True))
    np.testing.assert_allclose(form.theta_of(values), form.from_natural(np.array(natural)), rtol=1e-14)
    back = form.values(form.theta_of(values))
    assert back == {name: pytest.approx(value, rel=1e-13) for name, value in values.items()}
    assert np.isnan(form.theta_of({})).all()


@forms
def test_starts_are_finite_and_in_the_box(case):
    form, _, _ = CASES[case]
    low, high = form.box()
    for count in (1, 2, 25):
        log_x, y = rows(form, count)
        starts = form.starts(log_x, y)
        assert starts.shape[1] == form.size and len(starts) <= MOST_STARTS
        assert ((low <= starts) & (starts <= high)).all()
        assert np.isfinite(form.evaluate(starts, form.design(log_x))[0]).all()


def test_a_form_of_many_exponents_has_no_more_starts_than_others():
    form = parse_form("E + A/(N^a*D^b*C^c*U^d) + B/(N^e*D^f*C^g*U^h)")
    assert form.starts(*rows(form)).shape == (MOST_STARTS, 11)


@pytest.mark.parametrize(
    ("kind", "value", "theta"),
    [("log", 0, -200.0), ("log", np.e, 1.0), ("logit", 0, -20.0), ("logit", 1, 20.0), ("logit", 0.5, 0.0),
     ("plain", -3, -3.0), ("offset", 0, 0.0), ("offset", "1.5", 1.5)],
)  # fmt: skip
def test_a_value_at_its_limit_is_a_finite_theta(kind, value, theta):
    assert to_theta(Parameter("p", kind), value) == pytest.approx(theta)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("log", -1), ("log", np.inf), ("logit", 1.1), ("logit", -0.1), ("plain", np.nan), ("offset", -1e-9), ("log", "much"),
     ("plain", None)],
)  # fmt: skip
def test_a_value_out_of_its_domain_is_named(kind, value):
    with pytest.raises(InputError, match=r"here: p is .*, expected"):
        to_theta(Parameter("p", kind), value, "here")


@pytest.mark.parametrize(
    ("columns", "message"),
    [(([1.0],), "1 columns, expected 2: N, D"), (([1.0], [1.0, 2.0]), "D has 2 rows and N has 1"),
     (([1.0], [0.0]), r"D\[0\] is 0.0"), (([1.0, np.inf], [1.0, 1.0]), r"N\[1\] is inf"),
     (([[1.0]], [1.0]), "N has shape"), ((["1B"], [1.0]), "N holds what is no number")],
)  # fmt: skip
def test_columns_of_what_is_no_run_are_named(columns, message):
    with pytest.raises(InputError, match=message):
        log_columns(columns, ("N", "D"))


@pytest.mark.parametrize(
    ("text", "names", "kinds", "variables"),
    [
        ("E + A/N^alpha + B/D^beta", "E A alpha B beta", "offset log plain log plain", "params tokens"),
        ("  L =E+A /N ^ alpha", "E A alpha", "offset log plain", "params"),
        ("A*C^-0.05", "A", "log", "flops"),
        ("A/N", "A", "log", "params"),
        ("A/N/D", "A", "log", "params tokens"),
        ("A/((N^a)*(D^b)) + E", "A a b E", "log plain plain offset", "params tokens"),
        ("A*(N^-a/D^b)", "A a b", "log plain plain", "params tokens"),
        ("N^-a*A", "a A", "plain log", "params"),
        ("A/U^1e-1", "A", "log", "unique_tokens"),
        ("E + A/width^a", "E A a", "offset log plain", "width"),
        ("A/N^a + A/D^a", "A a", "log plain", "params tokens"),
    ],
)
def test_texts_that_are_sums_of_powers(text, names, kinds, variables):
    form = parse_form(text, ("width", "depth"))
    assert form.names == tuple(names.split())
    assert [p.kind for p in form.parameters] == kinds.split()
    assert form.variables == tuple(variables.split())


@pytest.mark.parametrize(
    "text",
    ["E + A/N^alpha + B/D^beta", "E + A*N^-alpha + B*D^-beta", "E + (N^-alpha)*A + B/(D^beta)"],
)
def test_the_same_law_in_other_words(text):
    form = parse_form(text)
    natural = dict(zip(CHINCHILLA.names, CASES["chinchilla"][2], strict=True))
    columns = (np.geomspace(1e6, 1e10, 9), np.geomspace(1e11, 1e8, 9))
    np.testing.assert_allclose(
        form.at(form.theta_of(natural), *columns), CHINCHILLA.at(CHINCHILLA.theta_of(natural), *columns), rtol=1e-13
    )
    log_x, y = rows(CHINCHILLA)
    values = [np.sort(f.evaluate(f.starts(log_x, y), f.design(log_x))[0], 0) for f in (form, CHINCHILLA)]
    np.testing.assert_allclose(*values, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", 1, "a variable or a coefficient's name"),
        ("E + ", 5, "a variable or a coefficient's name"),
        ("E - A/N^a", 3, r"\+ and a further term"),
        ("E + A/N^a)", 10, r"\+ and a further term"),
        ("E + A/(N^a", 11, r"\)"),
        ("E + A/N^", 9, "an exponent"),
        ("E + A/N^D", 9, "an exponent"),
        ("E + A/N^(a)", 9, "an exponent"),
        ("E + A/N^A", 9, "A either as a coefficient or as an exponent"),
        ("E + A/N^E", 9, "E either as a coefficient or as an exponent"),
        ("E + A/N^1e400", 9, "an exponent of at most 20"),
        ("E + A/N^21", 9, "an exponent of at most 20"),
        ("E + 3/N^a", 5, "a variable or a coefficient's name"),
        ("E + 1/N", 5, "a variable or a coefficient's name"),
        ("E + A/B", 7, r"a variable \(N, D, C, U\)"),
        ("E + A*B/N", 5, "a term with one coefficient"),
        ("E + N^-a", 5, "a term with one coefficient"),
        ("E + A/N^a!", 10, "a name, a number"),
        ("E + A/N^.5", 9, "a name, a number"),
        ("E + A/N**a", 9, "a variable or a coefficient's name"),
        ("E + " + "(" * 30, 25, "parentheses at most 20 deep"),
    ],
)
def test_what_is_wrong_with_a_text_is_named_with_its_place(text, place, expected):
    with pytest.raises(InputError, match=f"at character {place} .*expected {expected}"):
        parse_form(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("E + F + A/N", "E and F both stand alone"), ("E + E + A/N", "E and E both stand alone"), ("E", "no variable"),
     ("E + E/N^a", "E stands alone and in a further term"), ("A/N" * 200, "600 characters, expected at most 400"),
     (" + ".join(f"A{i}/N^a{i}" for i in range(7)), "14 parameters, expected at most 12")],
)  # fmt: skip
def test_what_is_wrong_with_a_text_as_a_whole_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_form(text)


def test_mutated_texts_give_a_form_or_an_input_error():
    rng = np.random.default_rng(0)
    seeds = [CUSTOM, "L = E + A/N^alpha + B/D^beta", "A*(N^-0.3/D^b)*C^2", "A*((((N))))/D^1e-3"]
    alphabet = [*"ENDCUAab019.+-*/^()= _eL\t\nµ∞", "1e9", "((", "^-", "N^a", "+ E"]
    read = 0
    for _ in range(2000):
        text = list(rng.choice(seeds))
        for _ in range(rng.integers(1, 4)):
            at, what = rng.integers(0, len(text) + 1), rng.choice(alphabet)
            text[at : at + rng.integers(0, 2)] = [what]
        try:
            form = parse_form("".join(text))
        except InputError as error:
            assert "expected" in str(error)
            continue
        read += 1
        log_x, y = rows(form, 3)
        assert np.isfinite(form.evaluate(form.starts(log_x, y)[:3], form.design(log_x))[0]).all(), "".join(text)
    assert 100 < read < 1900  # both outcomes were seen


def test_get_form_knows_names_and_says_what_it_does_not_know():
    assert get_form("chinchilla") is CHINCHILLA and get_form("E + A/N^a").name == "custom"
    assert get_form("power", ("width",)).variables == ("width",) and get_form("sigmoid").variables == ("flops",)
    for name, variables, message in [
        ("chinchila", (), "expected one of chinchilla"),
        ("kaplan", ("flops",), "expected no other variables"),
        ("broken", ("params", "tokens"), "expected one variable"),
    ]:
        with pytest.raises(InputError, match=message):
            get_form(name, variables)
