"""Synthetic sources: their entropies against enumeration, closed forms and the loss of the best predictor."""

from itertools import pairwise, product

import numpy as np
import pytest

from laimbench.data.synthetic import load_synthetic
from laimbench.data.synthetic.hmm import HMMSource
from laimbench.data.synthetic.markov import MarkovSource
from laimbench.data.synthetic.pcfg import NONE, Grammar, PCFGSource
from laimbench.data.synthetic.tables import random_rows, stationary
from laimbench.errors import InputError

ALL = ["markov?order=2&states=8", "markov?order=2&states=6&noise=0.1", "hmm?states=4&vocab=8", "hmm?states=4&vocab=8&noise=0.2",
       "zipf-bigram?vocab=64", "zipf-bigram?vocab=16&noise=0.05", "pcfg?terminals=12",
       "pcfg?nonterminals=4&terminals=8&rules=5&length=5&noise=0.1"]  # fmt: skip


def rows(seed, count, columns, concentration=0.7):
    return random_rows(np.random.default_rng(seed), concentration, count, columns)


def joint_entropies(probability_of, vocab, longest):
    """H(Y_1..Y_n) for n = 0..longest by adding up every string; ``probability_of`` is the test's own."""
    found = [0.0]
    for length in range(1, longest + 1):
        p = np.array([probability_of(string) for string in product(range(vocab), repeat=length)])
        assert p.sum() == pytest.approx(1, abs=1e-9)
        p = p[p > 0]
        found.append(-(p * np.log(p)).sum())
    return np.array(found)


def hidden_probability(start, transition, emission, string):
    """Forward probability of one string, in plain loops."""
    belief = start * emission[:, string[0]]
    for token in string[1:]:
        belief = (belief @ transition) * emission[:, token]
    return belief.sum()


def context_chain(source):
    """A Markov source as transition between contexts and emission of their newest token, with noise."""
    contexts, vocab = source.transition.shape
    transition, emission = np.zeros((contexts, contexts)), np.full((contexts, vocab), source.noise / vocab)
    for context in range(contexts):
        emission[context, context % vocab] += 1 - source.noise
        for token in range(vocab):
            transition[context, context * vocab % contexts + token] = source.transition[context, token]
    return transition, emission


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize(("order", "vocab", "longest"), [(1, 3, 8), (2, 2, 12), (3, 2, 12)])
def test_markov_entropies_are_those_of_enumeration(order, vocab, longest, noise):
    source = MarkovSource("m", rows(order, vocab**order, vocab), noise)
    chain, emission = context_chain(source)
    joint = joint_entropies(lambda s: hidden_probability(source.contexts, chain, emission, s), vocab, longest)
    bounds, bound = source.entropy_rate(), source.finite_context_bound(longest - 1)
    context = (joint[longest] - joint[1]) / (longest - 1)
    if noise:
        # given the first state, enumeration bounds the rate from below
        given = [
            sum(
                source.contexts[s] * joint_entropies(lambda y, s=s: hidden_probability(np.eye(len(chain))[s], chain, emission, y), vocab, n)[n]
                for s in range(len(chain))
            )
            for n in (longest - 3, longest - 4)
        ]  # fmt: skip
        low, high = given[0] - given[1], joint[longest] - joint[longest - 1]
        assert bounds.lower <= high and low <= bounds.upper and high - low < 0.01
        assert bounds.upper - bounds.lower < 0.02 and not bounds.exact
        assert context in bound
    else:
        assert bounds.exact and bounds.middle == pytest.approx(joint[longest] - joint[longest - 1], abs=1e-12)
        assert bound.exact and bound.middle == pytest.approx(context, abs=1e-12)


def test_hidden_markov_entropies_are_those_of_enumeration():
    transition, emission = rows(1, 2, 2), rows(2, 2, 3)
    source = HMMSource("h", transition, emission)
    start = stationary(transition)
    joint = joint_entropies(lambda s: hidden_probability(start, transition, emission, s), 3, 8)
    assert (joint[8] - joint[1]) / 7 in source.finite_context_bound(7)
    assert joint[8] - joint[7] in source.entropy_rate()


# S -> a B S' | b ; children are (left, right): ambiguous only with noise
GRAMMAR = Grammar(
    terminal=np.array([[1, 2, 3], [2, 1, 3]]),
    children=np.array([[[NONE, NONE], [1, 1], [1, NONE]], [[NONE, NONE], [0, NONE], [1, 0]]]),
    probability=np.array([[0.5, 0.2, 0.3], [0.7, 0.2, 0.1]]),
)


def derive(source, symbols, longest):
    """All strings of up to ``longest`` terminals that the symbols derive, with their probabilities, by expansion."""
    if longest < len(symbols):
        return {}
    if not symbols:
        return {(): 1.0}
    grammar, found = source.grammar, {}
    first, *rest = symbols
    for rule in range(grammar.probability.shape[1]):
        children = [c for c in grammar.children[first, rule] if c != NONE]
        for tail, p in derive(source, [*children, *rest], longest - 1).items():
            for token in range(1, source.vocab_size):
                seen = (1 - source.noise) * (token == grammar.terminal[first, rule])
                seen = (seen + source.noise / (source.vocab_size - 1)) * grammar.probability[first, rule] * p
                if seen:
                    found[(token, *tail)] = found.get((token, *tail), 0.0) + seen
    return found


def enumerated_moments(source, depth=400):
    """Expected length and entropy of a sentence by following derivations to a depth: sums over trees, not matrices."""
    grammar = source.grammar
    length = np.zeros(len(grammar.probability))
    entropy = np.zeros_like(length)
    for _ in range(depth):
        children = [[[c for c in rule if c != NONE] for rule in nonterminal] for nonterminal in grammar.children]
        length, entropy = (
            np.array(
                [
                    sum(p * (own(p) + sum(total[c] for c in kids)) for p, kids in zip(ps, rules, strict=True))
                    for ps, rules in zip(grammar.probability, children, strict=True)
                ]
            )
            for total, own in ((length, lambda p: 1.0), (entropy, lambda p: -np.log(p)))
        )
    return length[0], entropy[0]


def test_sentence_entropy_is_that_of_enumeration():
    clean = PCFGSource("g", GRAMMAR, 3)
    sentences = derive(clean, [0], 9)
    p = np.array(list(sentences.values()))
    assert clean.entropy_rate().exact and 0.97 < p.sum() < 1
    # the sentences longer than that have the rest of the mass: bounded by the conditional entropy of what is listed
    moments = enumerated_moments(clean)
    assert clean.grammar.lengths[0] == pytest.approx(moments[0])
    assert clean.entropy_rate().middle * clean.grammar.period == pytest.approx(moments[1])
    losses = clean.parser.losses([np.array(s) for s in list(sentences)[:200]], from_start=True)
    assert [np.exp(-values.sum()) for values in losses] == pytest.approx(p[:200].tolist())


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_window_probabilities_of_a_grammar_are_those_of_enumeration(noise):
    source = PCFGSource("g", GRAMMAR, 3, noise)
    sentences = derive(source, [0], 6)
    losses = source.parser.losses([np.array(s) for s in sentences], from_start=True)
    assert [np.exp(-values.sum()) for values in losses] == pytest.approx(list(sentences.values()))

    def probability(string):
        windows = np.array([[*string, 0]])
        return np.exp(-first[string[0]] - source.optimal_losses(windows)[0, : len(string) - 1].sum())

    # the stationary law of one token: the separator once a period, else how often each terminal is expected
    visits, grammar = source.grammar.visits, source.grammar
    shares = np.zeros(4)
    np.add.at(shares, grammar.terminal, visits[:, None] * grammar.probability)
    shares = (1 - noise) * shares + noise * shares.sum() / 3 * np.array([0, 1, 1, 1])
    shares[0] = 1.0
    first = -np.log(shares / grammar.period)
    joint = joint_entropies(probability, 4, 5)
    assert (joint[5] - joint[1]) / 4 in source.finite_context_bound(4)


def test_noisy_sentences_have_the_entropy_of_enumeration():
    finite = Grammar(
        terminal=np.array([[1, 2, 3], [3, 1, 2]]),
        children=np.array([[[1, 1], [1, NONE], [NONE, NONE]], [[NONE, NONE]] * 3]),
        probability=np.array([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1]]),
    )
    source = PCFGSource("g", finite, 3, noise=0.2)
    p = np.array(list(derive(source, [0], 3).values()))
    assert p.sum() == pytest.approx(1)
    rate = source.entropy_rate()
    assert -(p * np.log(p)).sum() / finite.period in rate and rate.upper - rate.lower < 0.02


@pytest.mark.parametrize("name", ALL)
def test_the_best_predictor_pays_the_finite_context_bound(name):
    process = load_synthetic(f"synthetic:{name}").process
    windows = process.sample(np.random.default_rng(7), 400, 33)
    losses = process.optimal_losses(windows).mean(1)
    error = losses.std() / np.sqrt(len(losses))
    bound, rate = process.finite_context_bound(32), process.entropy_rate()
    assert bound.lower - 4 * error < losses.mean() < bound.upper + 4 * error
    assert rate.lower <= bound.upper and bound.upper - bound.lower < 0.03 and rate.upper - rate.lower < 0.03
    # a much longer context comes nearer to the rate
    assert process.finite_context_bound(4).upper >= bound.lower


@pytest.mark.parametrize("name", ALL)
def test_windows_are_stationary(name):
    process = load_synthetic(f"synthetic:{name}").process
    windows = process.sample(np.random.default_rng(3), 6000, 24)
    assert windows.min() >= 0 and windows.max() < process.vocab_size
    for token in range(4):
        first, late = ((windows[:, n] == token).mean() for n in (0, 23))
        assert abs(first - late) < 5 * np.sqrt((first + late + 1e-3) / 6000), token


def test_entropy_does_not_depend_on_names():
    table, order = rows(5, 6, 6), np.random.default_rng(0).permutation(6)
    renamed = MarkovSource("m", table[np.ix_(order, order)])
    assert renamed.entropy_rate().middle == pytest.approx(MarkovSource("m", table).entropy_rate().middle, abs=1e-12)


def test_noise_adds_entropy_up_to_uniform():
    rates = [
        load_synthetic(f"synthetic:markov?states=8&noise={noise}").process.entropy_rate() for noise in (0, 0.1, 0.5, 1)
    ]
    assert all(low.upper < high.lower for low, high in pairwise(rates))
    assert rates[-1].middle == pytest.approx(np.log(8))


def test_zipf_rows_and_frequencies_are_power_laws():
    process = load_synthetic("synthetic:zipf-bigram?vocab=512&exponent=1.2").process
    law = np.arange(1.0, 513) ** -1.2
    law /= law.sum()
    assert np.allclose(-np.sort(-process.transition, axis=1), law)
    assert process.entropy_rate().middle == pytest.approx(-(law * np.log(law)).sum())
    assert process.finite_context_bound(10).middle == pytest.approx(process.entropy_rate().middle)
    frequencies = -np.sort(-process.contexts)[4:256]
    slope = np.polyfit(np.log(np.arange(5, 257)), np.log(frequencies), 1)[0]
    assert -1.6 < slope < -0.8


def test_a_grammar_has_the_length_it_is_asked_for():
    process = load_synthetic("synthetic:pcfg?length=9&seed=3").process
    windows = process.sample(np.random.default_rng(0), 2000, 100)
    assert process.grammar.lengths[0] == pytest.approx(9, rel=1e-6)
    share = (windows == 0).mean()
    assert share == pytest.approx(0.1, abs=0.004)


def test_windows_are_reproduced_by_number_and_sides_are_apart():
    tokens = load_synthetic("synthetic:markov?states=16&seed=4")
    whole = tokens.train_windows(0, 0, 600, 24)
    again = np.concatenate([tokens.train_windows(0, step, 40, 24) for step in range(15)])
    assert np.array_equal(whole, again)
    load_synthetic.cache_clear()
    assert np.array_equal(
        load_synthetic("synthetic:markov?states=16&seed=4").train_windows(0, 7, 40, 24), whole[280:320]
    )
    seen = {row.tobytes() for row in whole}
    assert len(seen) == 600
    for other in (tokens.validation_windows(600, 24), tokens.train_windows(1, 0, 600, 24)):
        assert not seen & {row.tobytes() for row in other}


@pytest.mark.parametrize(
    ("source", "word"),
    [("markov?oder=2", "oder"), ("markov?order=two", "order"), ("markov?order=0", "order"), ("markov?noise=1.5", "noise"),
     ("markov?noise=nan", "noise"), ("markov?order=8&states=64", "states"), ("crystal", "crystal"), ("markov?order=1&order=2", "twice"),
     ("pcfg?rules=40&terminals=8", "rules"), ("pcfg?nonterminals=2&length=90", "length")],
)  # fmt: skip
def test_wrong_sources_are_named(source, word):
    with pytest.raises(InputError, match=word):
        load_synthetic(f"synthetic:{source}")
