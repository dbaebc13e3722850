"""``synthetic:pcfg``: sentences of a random context-free grammar, each ended by a separator token.

The grammar is in Greibach form with at most two children: A -> a, A -> a B, A -> a B C. The rules of one nonterminal
begin with distinct terminals, so a sentence has one derivation and can be followed token by token (a simple grammar:
Korenjak & Hopcroft 1966). Its entropy is then the derivation's (Grenander 1976; Soule 1974; Chi 1999): with M[A, B] the
expected number of B among the children of A, and start symbol S,

    visits = e_S (I - M)^-1,   E[length] = sum_A visits_A,   H(sentence) = sum_A visits_A H(rules of A)

since every visit emits one token. Sentences are independent, so the stream is a renewal process with entropy rate
H(sentence) / (E[length] + 1), the 1 for the separator.

With noise a terminal is replaced with that probability by a uniform one (the separator is neither replaced nor made).
Derivations are then ambiguous; the rate is E[-log P(sentence)] / (E[length] + 1) with P from the inside algorithm
(parse.py) and the expectation by Monte Carlo, without bias, the derivation's log-probability serving as control.

Tokens: 0 the separator, 1..T the terminals. Shapes: W windows, L tokens, N nonterminals, R rules of each.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from laimbench.data.synthetic.options import option
from laimbench.data.synthetic.parse import SEPARATOR, Parser
from laimbench.data.synthetic.source import Bounds, Estimate, SyntheticSource, estimate
from laimbench.data.synthetic.tables import add_noise, cumulate, entropy, pick
from laimbench.errors import InputError

START = 0
NONE = -1  # in place of a child
RECURSION = 0.02  # probability of a nonterminal's rule that may go back
SENTENCES = 10_000  # of a Monte-Carlo entropy rate
WINDOW_TOKENS = 200_000  # of a Monte-Carlo finite-context bound
WINDOWS = (64, 2000)  # at least, at most
ESTIMATE_SEED = 20_240_301


@dataclass(frozen=True)
class PCFGOptions:
    """``length``: expected terminals in a sentence, met by tilting the probabilities of branching rules."""

    nonterminals: int = option(10, 2, 64)
    terminals: int = option(32, 2, 1024)
    rules: int = option(8, 2, 64)
    length: float = option(12.0, 1.5, 100)
    seed: int = option(0, 0, 2**31)
    noise: float = option(0.0, 0, 1)


@dataclass(frozen=True)
class Grammar:
    """Rules of every nonterminal: terminal (N, R), children (N, R, 2) with NONE last, probability (N, R)."""

    terminal: np.ndarray
    children: np.ndarray
    probability: np.ndarray

    @cached_property
    def expected_children(self) -> np.ndarray:
        """M (N, N)."""
        count = len(self.probability)
        return np.stack(
            [(self.probability[..., None] * (self.children == b)).sum((1, 2)) for b in range(count)], axis=1
        )

    @cached_property
    def lengths(self) -> np.ndarray:
        """Expected number of terminals (N,) that each nonterminal derives."""
        return np.linalg.solve(np.eye(len(self.probability)) - self.expected_children, np.ones(len(self.probability)))

    @cached_property
    def visits(self) -> np.ndarray:
        """Expected number of expansions (N,) of each nonterminal in a sentence."""
        count = len(self.probability)
        return np.linalg.solve((np.eye(count) - self.expected_children).T, np.eye(count)[START])

    @property
    def period(self) -> float:
        """Expected tokens of a sentence, the separator included."""
        return float(self.lengths[START] + 1)


def pcfg(name: str, options: PCFGOptions) -> "PCFGSource":
    """Return a random grammar of the expected length that is asked for.

    Raises:
        InputError: more rules than terminals, or a length that this grammar cannot have.
    """
    if options.rules > options.terminals:
        raise InputError(f"data {name!r}: rules is {options.rules}, expected at most terminals ({options.terminals})")
    generator = np.random.default_rng((options.seed, 4))
    shape = options.nonterminals, options.rules
    terminal = np.stack([generator.permutation(options.terminals)[: options.rules] + 1 for _ in range(shape[0])])
    # Nonterminals are levels: children come from the next two, so that length comes from depth and not from a process
    # near criticality, whose sentences would have a heavy tail. Each level's last rule may go back to any: recursion.
    last = options.nonterminals - 1
    level = np.broadcast_to(np.arange(options.nonterminals)[:, None], shape)
    lowest, highest = np.minimum(level + 1, last), np.minimum(level + 2, last)
    lowest[:, -1], highest[:, -1] = 0, last
    arity = generator.integers(1, 3, shape)
    arity[:, 0] = arity[-1, :-1] = 0
    children = generator.integers(lowest[..., None], highest[..., None] + 1, (*shape, 2))
    children[arity < 2, 1], children[arity < 1, 0] = NONE, NONE
    weights = generator.standard_gamma(1.0, shape) + 0.05

    def tilted(log_tilt: float) -> Grammar:
        probability = weights * np.exp(log_tilt * arity)
        probability[:, :-1] *= (1 - RECURSION) / probability[:, :-1].sum(1, keepdims=True)
        probability[:, -1] = RECURSION
        return Grammar(terminal, children, probability)

    def excess(log_tilt: float) -> float:
        """Log of the length over the one wanted; the length grows with the tilt up to infinity."""
        grammar = tilted(log_tilt)
        if np.abs(np.linalg.eigvals(grammar.expected_children)).max() >= 1 - 1e-9:
            return 10.0
        return float(np.log(grammar.lengths[START] / options.length))

    if excess(-20.0) > 0 or excess(20.0) < 0:
        raise InputError(
            f"data {name!r}: no such grammar has length {options.length:g}; lower length or raise nonterminals"
        )
    # The length is continuous below the pole, so a root of the capped function is a root of the length.
    return PCFGSource(name, tilted(brentq(excess, -20.0, 20.0, xtol=1e-14)), options.terminals, options.noise,
                      options.seed)  # fmt: skip


class PCFGSource(SyntheticSource):
    """The endless stream of sentences of a grammar."""

    def __init__(self, name: str, grammar: Grammar, terminals: int, noise: float = 0.0, seed: int = 0):
        self.name, self.seed, self.grammar, self.noise = name, seed, grammar, noise
        self.vocab_size = terminals + 1
        emission = np.zeros((*grammar.probability.shape, self.vocab_size))  # (N, R, V)
        np.put_along_axis(emission, grammar.terminal[..., None], 1.0 - noise, axis=2)
        emission[..., 1:] += noise / terminals
        self.parser = Parser(grammar, emission)
        self._rules = cumulate(grammar.probability)
        self._spine, self._spine_child, self._spine_rest = self._spine_tables()

    def sample(self, generator, count, length):
        return self._run(generator, self._stationary_stacks(generator, count), length)[0]

    def entropy_rate(self):
        if self.noise:
            return self._noisy_rate
        return Bounds.closed_form(self._derivation_entropy / self.grammar.period, "derivation entropy per token")

    def finite_context_bound(self, seqlen):
        """By Monte Carlo over windows; the loss given the true stack, whose mean is known, is the control."""
        generator = np.random.default_rng(ESTIMATE_SEED)
        tokens = WINDOW_TOKENS // 4 if self.noise else WINDOW_TOKENS  # only noise has every sentence parsed
        count = int(np.clip(tokens // seqlen, *WINDOWS))
        windows, control = self._run(generator, self._stationary_stacks(generator, count), seqlen + 1)
        losses = self.optimal_losses(windows)
        found = estimate(losses.mean(1), control[:, 1:].mean(1), self._derivation_entropy / self.grammar.period)
        return Bounds.between(found, found, method="exact substring probabilities, Monte Carlo over windows")

    def optimal_losses(self, windows):
        """As everywhere; the losses of an impossible string are infinite from its first impossible token on."""
        losses = np.empty(windows.shape)
        begun = [np.flatnonzero(window == SEPARATOR) for window in windows]
        first = [window[: cuts[0]] if len(cuts) else window for window, cuts in zip(windows, begun, strict=True)]
        self._place(losses, [(row, 0) for row in range(len(windows))], self.parser.losses(first, from_start=False))
        if self.noise:
            places, sentences = [], []
            for row, cuts in enumerate(begun):
                for start, end in pairwise([*cuts, windows.shape[1]]):
                    places.append((row, start + 1))
                    sentences.append(windows[row, start + 1 : end])
            self._place(losses, places, self.parser.losses(sentences, from_start=True))
        else:
            self._follow(windows, losses)
        return losses[:, 1:]

    @staticmethod
    def _place(losses: np.ndarray, places: list[tuple[int, int]], found: list[np.ndarray]) -> None:
        """Write each string's losses from its (row, first token) on; the separator's is dropped at a window's end."""
        for (row, start), values in zip(places, found, strict=True):
            space = losses[row, start : start + len(values)]
            space[:] = values[: len(space)]

    def _follow(self, windows: np.ndarray, losses: np.ndarray) -> None:
        """Write the losses after every window's first separator: without noise the stack is known from there on."""
        grammar, count = self.grammar, len(windows)
        rule_of = np.full((len(grammar.probability), self.vocab_size), NONE)
        np.put_along_axis(rule_of, grammar.terminal, np.arange(grammar.terminal.shape[1])[None], axis=1)
        stacks, known = _Stacks(count), np.zeros(count, dtype=bool)
        possible = np.ones(count, dtype=bool)
        for n in range(windows.shape[1]):
            ends = windows[:, n] == SEPARATOR
            possible &= ~known | (ends == (stacks.depth == 0))  # a separator stands where a sentence is complete
            rows = np.flatnonzero(known & possible & ~ends)
            top = stacks.pop(rows)
            rule = rule_of[top, windows[rows, n]]
            possible[rows[rule == NONE]] = False
            losses[known, n] = np.where(possible, 0.0, np.inf)[known]
            rows, top, rule = rows[rule != NONE], top[rule != NONE], rule[rule != NONE]
            losses[rows, n] = -np.log(grammar.probability[top, rule])
            self._push_children(stacks, rows, top, rule)
            known |= ends
            over = np.flatnonzero(ends & possible)
            stacks.push(over, np.full(len(over), START))

    @property
    def _derivation_entropy(self) -> float:
        """Entropy of a sentence's derivation, with what noise adds to it given the derivation."""
        one_token = np.full(self.vocab_size - 1, self.noise / (self.vocab_size - 1))
        one_token[0] += 1 - self.noise
        return float(self.grammar.visits @ (entropy(self.grammar.probability) + entropy(one_token)))

    @cached_property
    def _noisy_rate(self) -> Bounds:
        generator = np.random.default_rng(ESTIMATE_SEED)
        control = np.zeros(SENTENCES)
        stacks = _Stacks(SENTENCES)
        stacks.push(np.arange(SENTENCES), np.full(SENTENCES, START))
        alive, tokens = np.arange(SENTENCES), []
        while len(alive):
            emitted, losses = self._step(generator, stacks, alive)
            tokens.append((alive, emitted))
            control[alive] += losses
            alive = alive[stacks.depth[alive] > 0]
        lengths = np.bincount(np.concatenate([rows for rows, _ in tokens]), minlength=SENTENCES)
        padded = np.zeros((SENTENCES, lengths.max()), dtype=np.int64)
        for n, (rows, emitted) in enumerate(tokens):
            padded[rows, n] = emitted
        sentences = [padded[i, : lengths[i]] for i in range(SENTENCES)]
        found = [values.sum() for values in self.parser.losses(sentences, from_start=True)]
        found = estimate(np.array(found), control, self._derivation_entropy)
        both = Estimate(found.mean / self.grammar.period, found.error / self.grammar.period)
        return Bounds.between(both, both, method="inside probabilities, Monte Carlo over sentences")

    def _run(self, generator, stacks: "_Stacks", length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (W, L) and their losses (W, L) given the stack, the rule's and the noise's."""
        count = len(stacks.depth)
        tokens, losses = np.zeros((count, length), dtype=np.int64), np.zeros((count, length))
        for n in range(length):
            ended = stacks.depth == 0
            rows = np.flatnonzero(~ended)
            tokens[rows, n], losses[rows, n] = self._step(generator, stacks, rows)
            over = np.flatnonzero(ended)
            stacks.push(over, np.full(len(over), START))
            tokens[over, n] = SEPARATOR
        return tokens, losses

    def _step(self, generator, stacks: "_Stacks", rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expand the top of the stacks of ``rows``; return the tokens emitted and their losses given the stack."""
        top = stacks.pop(rows)
        rule = pick(self._rules, top, generator.random(len(rows)))
        terminal = self.grammar.terminal[top, rule]
        tokens = add_noise(generator, terminal, self.noise, 1, self.vocab_size)
        self._push_children(stacks, rows, top, rule)
        uniform = self.noise / (self.vocab_size - 1)
        seen = np.where(tokens == terminal, 1 - self.noise + uniform, uniform)
        return tokens, -np.log(self.grammar.probability[top, rule]) - np.log(seen)

    def _push_children(self, stacks: "_Stacks", rows: np.ndarray, top: np.ndarray, rule: np.ndarray) -> None:
        for child in (1, 0):  # the left child is expanded first: it goes on top
            pushed = self.grammar.children[top, rule, child]
            stacks.push(rows[pushed != NONE], pushed[pushed != NONE])

    def _stationary_stacks(self, generator, count: int) -> "_Stacks":
        """Return what is still to be derived at a uniformly drawn position of the endless stream.

        With probability 1/period it is a separator. Else the position is one of a tree drawn with probability
        proportional to its size, and is reached from the root by a spine (Lyons, Pemantle & Peres 1995): a node is
        the position itself with weight 1, or rule and child with weight probability x expected length of the child;
        siblings to the right of the spine wait on the stack.
        """
        stacks = _Stacks(count)
        inside = np.flatnonzero(generator.random(count) >= 1 / self.grammar.period)
        node = np.full(len(inside), START)
        while len(inside):
            choice = pick(self._spine, node, generator.random(len(inside)))
            stop = choice == 0
            stacks.push(inside[stop], node[stop])
            rest = self._spine_rest[node, choice]
            waits = rest != NONE
            stacks.push(inside[waits], rest[waits])
            node, inside = self._spine_child[node, choice][~stop], inside[~stop]
        return stacks

    def _spine_tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for every nonterminal the choices of a spine: cumulative, child to go to, sibling left waiting."""
        grammar = self.grammar
        rules = grammar.probability.shape[1]
        weight = np.zeros((len(grammar.probability), 1 + 2 * rules))
        child, rest = np.full(weight.shape, NONE), np.full(weight.shape, NONE)
        weight[:, 0] = 1.0
        for side in (0, 1):
            columns = slice(1 + side * rules, 1 + (side + 1) * rules)
            child[:, columns] = grammar.children[..., side]
            present = grammar.children[..., side] != NONE
            weight[:, columns] = np.where(
                present, grammar.probability * grammar.lengths[grammar.children[..., side]], 0
            )
        rest[:, 1 : 1 + rules] = grammar.children[..., 1]
        return cumulate(weight / weight.sum(1, keepdims=True)), child, rest


class _Stacks:
    """One stack of nonterminals per window, deeper ones made room for."""

    def __init__(self, count: int):
        self.depth = np.zeros(count, dtype=np.int64)
        self._items = np.zeros((count, 16), dtype=np.int64)

    def push(self, rows: np.ndarray, items: np.ndarray) -> None:
        if len(rows) and self.depth[rows].max() >= self._items.shape[1]:
            self._items = np.concatenate([self._items, np.zeros_like(self._items)], axis=1)
        self._items[rows, self.depth[rows]] = items
        self.depth[rows] += 1

    def pop(self, rows: np.ndarray) -> np.ndarray:
        self.depth[rows] -= 1
        return self._items[rows, self.depth[rows]]
