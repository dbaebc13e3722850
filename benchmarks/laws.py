"""Fits of laws: the published table's optimum and its bootstrap, and a table of many rows."""

from pathlib import Path

import numpy as np

from laimbench import laws


class Chinchilla:
    """The 240 rows of Besiroglu et al. 2024: 720 starts, then refits."""

    timeout = 120

    def setup(self):
        table = Path(laws.__file__).parent / "tables" / "chinchilla_epoch.csv"
        runs = laws.read_table(table, where="kept_by_epoch=1").runs()
        self.columns = runs["params"], runs["tokens"], runs["loss"]

    def time_optimum(self):
        laws.fit_chinchilla(*self.columns, bootstrap=0)

    def time_four_thousand_refits(self):
        laws.fit_chinchilla(*self.columns, bootstrap=4000)

    def track_objective(self):
        return laws.fit_chinchilla(*self.columns, bootstrap=0).objective


class ManyRows:
    """Evaluation rows of many runs: time grows with the rows, memory stays bounded."""

    params = ([10_000, 100_000],)
    param_names = ("rows",)
    timeout = 300

    def setup(self, rows):
        rng = np.random.default_rng(0)
        params, tokens = 10 ** rng.uniform(7, 10, rows), 10 ** rng.uniform(8.5, 11.5, rows)
        loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.01, rows))
        self.columns = params, tokens, loss

    def time_optimum(self, rows):
        laws.fit_chinchilla(*self.columns, bootstrap=0)

    def peakmem_optimum(self, rows):
        laws.fit_chinchilla(*self.columns, bootstrap=0)
