"""Forms that are no sums of powers: Kaplan's, a broken power law, repeated data, and sigmoids of bounded metrics."""

from itertools import product

import numpy as np

from laimbench.laws.forms import jet
from laimbench.laws.forms.base import Form, Parameter
from laimbench.laws.forms.jet import Jet


class Kaplan(Form):
    """L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D. Source: Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.5.

    Gradient and Hessian: by jets. Domain: N, D > 0; all parameters positive.
    """

    name = "kaplan"
    equation = "L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D"
    source = "Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.5"
    notes = "No irreducible loss: it falls to zero, so that it extrapolates lower than forms with E. N there leaves embeddings out."
    variables = ("params", "tokens")
    parameters = (
        Parameter("N_c", "log"), Parameter("alpha_N", "log", "exponent of N"), Parameter("D_c", "log"),
        Parameter("alpha_D", "log", "exponent of D"),
    )  # fmt: skip

    def expression(self, theta: list[Jet], log_x: np.ndarray) -> Jet:
        log_nc, log_an, log_dc, log_ad = theta
        alpha_d = jet.exp(log_ad)
        by_params = jet.exp(log_an - log_ad) * (log_nc - log_x[0])
        return alpha_d * jet.logsumexp(by_params, log_dc - log_x[1])

    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        middle, centre, exponents = np.median(y), np.median(log_x, axis=1), np.log((0.03, 0.07, 0.15, 0.4))
        points = []
        for log_an, log_ad, share in product(exponents, exponents, (0.1, 0.5, 0.9)):
            whole = middle / np.exp(log_ad)  # log of the sum in brackets
            log_nc = centre[0] + np.exp(log_ad - log_an) * (whole + np.log(share))
            points.append((log_nc, log_an, centre[1] + whole + np.log1p(-share), log_ad))
        return np.array(points)


class Broken(Form):
    """L = E + a x^-b (1 + (x / x_break)^(1/f))^(-c f): slope b before the break, b + c after it, over a width f in log x.

    Source: Caballero et al. 2022 (arXiv:2210.14891), eq. 1 with one break. Gradient and Hessian: by jets. Domain: x > 0; a small f,
    held by ``fixed``, is a sharp break.
    """

    name = "broken"
    source = "Caballero et al. 2022 (arXiv:2210.14891), eq. 1, one break"
    notes = "Six parameters: the break is identified only where runs lie well on both sides of it; f hardly ever is."
    parameters = (
        Parameter("E", "offset", "irreducible loss"), Parameter("a", "log"), Parameter("b", "plain", "slope before"),
        Parameter("c", "plain", "change of slope"), Parameter("x_break", "log", "where it breaks"),
        Parameter("f", "log", "width of the break"),
    )  # fmt: skip

    def __init__(self, variable: str = "flops"):
        self.variables = (variable,)
        self.equation = "L = E + a x^-b (1 + (x/x_break)^(1/f))^(-c f), x = " + variable

    def expression(self, theta: list[Jet], log_x: np.ndarray) -> Jet:
        offset, log_a, b, c, log_break, log_f = theta
        width = jet.exp(log_f)
        beyond = width * jet.softplus((log_x[0] - log_break) / width)
        return jet.log(offset + jet.exp(log_a - b * log_x[0] - c * beyond))

    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        least, middle, centre = np.exp(y.min()), np.exp(np.median(y)), np.median(log_x[0])
        breaks = np.quantile(log_x[0], (0.2, 0.4, 0.6, 0.8))
        points = []
        for share, b, c, where, width in product(
            (0.0, 0.5, 0.9), (0.05, 0.15, 0.4), (-0.1, 0.1, 0.3), breaks, (0.2, 1.0)
        ):
            rest = np.log(max(middle - share * least, 1e-3 * middle))
            log_a = rest + b * centre + c * width * np.logaddexp(0, (centre - where) / width)
            points.append((share * least, log_a, b, c, where, np.log(width)))
        return np.array(points)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = super().box()
        low[-1], high[-1] = np.log(1e-2), np.log(10.0)  # beyond: a corner, or no break at all
        return low, high


class Repeated(Form):
    """Chinchilla's law in effective parameters N' and effective tokens D' of data that are repeated:
    D' = U + U R*_D (1 - exp(-R_D / R*_D)) with unique tokens U and repetitions R_D = D / U - 1; N' alike, with U_N the parameters that
    are optimal for U.

    Source: Muennighoff et al. 2023 (arXiv:2305.16264), eq. 5 and appendix. Gradient and Hessian: by jets. Domain: N, D, U > 0; U above D
    counts as D (nothing repeated).
    """

    name = "repeated"
    equation = "L = E + A / N'^alpha + B / D'^beta, D' = U (1 + R_D* (1 - exp(-(D/U - 1)/R_D*))), N' alike"
    source = "Muennighoff et al. 2023 (arXiv:2305.16264), eq. 5"
    notes = "R_D* needs runs of several epochs, R_N* models larger than optimal for their unique tokens; else hold them by fixed."
    variables = ("params", "tokens", "unique_tokens")
    parameters = (
        Parameter("E", "offset", "irreducible loss"), Parameter("A", "log"), Parameter("alpha", "log", "exponent of N"),
        Parameter("B", "log"), Parameter("beta", "log", "exponent of D"),
        Parameter("R_D", "log", "repetitions until data are worth 1 - 1/e"), Parameter("R_N", "log", "the same of parameters"),
    )  # fmt: skip

    def expression(self, theta: list[Jet], log_x: np.ndarray) -> Jet:
        offset, log_a, log_alpha, log_b, log_beta, log_rd, log_rn = theta
        alpha, beta = jet.exp(log_alpha), jet.exp(log_beta)
        unique = np.minimum(log_x[2], log_x[1])
        log_data = _effective(unique, log_x[1] - unique, log_rd)
        optimal = (log_alpha + log_a - log_beta - log_b + beta * unique) / alpha  # eq. 4 of Hoffmann et al. at D = U
        log_base = jet.minimum(optimal, log_x[0])
        log_params = _effective(log_base, log_x[0] - log_base, log_rn)
        return jet.log(offset + jet.exp(log_a - alpha * log_params) + jet.exp(log_b - beta * log_data))

    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        least, middle, centre = np.exp(y.min()), np.exp(np.median(y)), np.median(log_x, axis=1)
        points = []
        shares, exponents = (0.2, 0.7), (0.2, 0.35, 0.6)
        for offset, alpha, beta, s, t, rd in product(
            (0.3, 0.6, 0.9), exponents, exponents, shares, shares, (4.0, 15.0)
        ):
            rest = np.log(middle - offset * least)
            points.append((offset * least, rest + np.log(s) + alpha * centre[0], np.log(alpha),
                           rest + np.log(t) + beta * centre[1], np.log(beta), np.log(rd), np.log(5.0)))  # fmt: skip
        return np.array(points)


def _effective(log_unique, log_times, log_scale: Jet) -> Jet:
    """Return log of U (1 + R* (1 - exp(-R / R*))), R = times - 1."""
    scale = jet.exp(log_scale)
    times = jet.exp(log_times) if isinstance(log_times, Jet) else np.exp(log_times)
    saturating = 1.0 - jet.exp(-((times - 1.0) * jet.exp(-log_scale)))
    return jet.log(scale * saturating + 1.0) + log_unique


class Sigmoid(Form):
    """metric = floor + (ceiling - floor) / (1 + exp(-z)), z linear in the logarithms of the variables: for metrics within 0 and 1 where
    more is better (accuracy, recall, F1) or less is (negative slopes).

    Of one variable z = k (log x - log x_half); of several z = z_0 + sum k_v log x_v. Source: the logit link of generalised linear models
    (McCullagh & Nelder 1989) in log compute, as Owen 2024 (arXiv:2401.04757) for benchmark scores. Gradient and Hessian: by jets.
    """

    name = "sigmoid"
    link, delta = "identity", 1e-2
    source = "Owen 2024 (arXiv:2401.04757); McCullagh & Nelder 1989"
    notes = "Floor and ceiling are identified only where the data reach them: hold them by fixed (floor=0.1,ceiling=1) if they do not."

    def __init__(self, *variables: str):
        self.variables = variables or ("flops",)
        ends = (Parameter("floor", "logit", "chance level"), Parameter("ceiling", "logit", "best reachable"))
        if len(self.variables) == 1:
            middle = (Parameter("k", "plain", "steepness in log x"), Parameter("x_half", "log", "half way up"))
            self.equation = f"y = floor + (ceiling - floor) / (1 + ({self.variables[0]}/x_half)^-k)"
        else:
            middle = tuple(Parameter(f"k_{v}", "plain", f"steepness in log {v}") for v in self.variables)
            middle += (Parameter("z_0", "plain"),)
            self.equation = (
                "y = floor + (ceiling - floor) / (1 + exp(-z_0 - "
                + " - ".join(f"k_{v} log {v}" for v in self.variables)
                + "))"
            )
        self.parameters = ends + middle

    def expression(self, theta: list[Jet], log_x: np.ndarray) -> Jet:
        floor, ceiling = jet.sigmoid(theta[0]), jet.sigmoid(theta[1])
        if len(self.variables) == 1:
            z = theta[2] * (log_x[0] - theta[3])
        else:
            z = theta[-1]
            for slope, x in zip(theta[2:-1], log_x, strict=True):
                z = z + slope * x
        return floor + (ceiling - floor) * jet.sigmoid(z)

    def starts(self, log_x: np.ndarray, y: np.ndarray) -> np.ndarray:
        low, high = np.clip(y.min(), 1e-3, 0.9), np.clip(y.max(), 0.1, 1 - 1e-3)
        floors = [np.log(p / (1 - p)) for p in (1e-3, low)]
        ceilings = [np.log(p / (1 - p)) for p in (high, (1 + high) / 2, 1 - 1e-3)]
        direction = 1.0 if len(y) < 2 or np.corrcoef(log_x[0], y)[0, 1] >= 0 else -1.0
        slopes = [direction * k for k in (0.1, 0.3, 1.0, 3.0)]
        if len(self.variables) == 1:
            middles = np.quantile(log_x[0], (0.1, 0.5, 0.9))
            return np.array(list(product(floors, ceilings, slopes, middles)))
        points = []
        for floor, ceiling, *k in product(floors, ceilings, *[slopes] * len(self.variables)):
            points.append((floor, ceiling, *k, -float(np.median(log_x, axis=1) @ np.array(k))))
        return np.array(points)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = super().box()
        if len(self.variables) > 1:
            low[-1], high[-1] = -1e4, 1e4  # an intercept at log x = 0, far from the data
        return low, high
