"use strict";
// L(N, D) = E + A / N^alpha + B / D^beta and its optimum for a budget of C = 6 N D FLOPs, in closed form: Hoffmann et al. 2022
// (arXiv:2203.15556), eq. 4. The same as laimbench.laws.planning.allocation, to which a test holds it.

const lossAt = (law, params, tokens) => law.E + law.A / params ** law.alpha + law.B / tokens ** law.beta;

const tokensFor = (compute, params) => compute / (6 * params);

function allocate(law, compute) {
  const { A, B, alpha, beta } = law, sum = alpha + beta;
  const scale = ((alpha * A) / (beta * B)) ** (1 / sum);
  const params = scale * (compute / 6) ** (beta / sum);
  const tokens = (compute / 6) ** (alpha / sum) / scale;
  return { params, tokens, loss: lossAt(law, params, tokens) };
}

// The 95 % interval of a quantity over the bootstrap's draws; null without draws.
function drawInterval(draws, quantity) {
  const names = Object.keys(draws);
  if (!names.length) return null;
  const values = draws[names[0]].map((_, i) => quantity(Object.fromEntries(names.map((name) => [name, draws[name][i]]))));
  values.sort((a, b) => a - b);
  return [values[Math.floor(0.025 * (values.length - 1))], values[Math.ceil(0.975 * (values.length - 1))]];
}
