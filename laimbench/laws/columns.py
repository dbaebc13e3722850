"""Whose column is what: anybody's names mapped to ours, by the user's word or by known synonyms.

Names are compared without case, spaces and punctuation, a leading ``config.`` or ``summary.`` (as trackers write them) and a
unit in brackets at the end left out: ``Model Size (B)`` is params in billions. Synonyms stand in tiers: a name of an earlier tier
wins over one of a later tier (``val_loss`` over ``train_loss``), two of one tier are ambiguous.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from laimbench.errors import InputError
from laimbench.laws.units import scale_of
from laimbench.laws.where import listed


@dataclass(frozen=True)
class Known:
    """One of our columns.

    kind: "count" or "flops" (numbers with units), "number" (plain), or "label" (whatever stands there);
    required: must be positive and finite in every row; tiers: synonyms, normalised; letter: a capital that stands for it.
    """

    kind: str
    tiers: tuple[str, ...] = ()
    letter: str = ""
    required: bool = False


KNOWN = {
    "params": Known("count", (
        "params nparams parameters nparameters numparams numparameters paramcount parametercount totalparams totalparameters "
        "modelparams modelparameters numberofparameters modelsize sizeparams",
    ), "N", True),
    "tokens": Known("count", (
        "tokens ntokens numtokens traintokens trainingtokens tokenstrained totaltokens tokensseen seentokens tokencount "
        "numberoftokens datasize datasetsize trainingdatasize datatokens",
    ), "D", True),
    "flops": Known("flops", (
        "flops flop trainflops trainingflops trainflop trainingflop totalflops nflops compute trainingcompute traincompute "
        "computeflops computeflop pfdays",
        "budget computebudget flopbudget flopsbudget",
    ), "C", True),
    "loss": Known("number", (
        "loss finalloss lossfinal lossnats crossentropy finalcrossentropy crossentropyloss",
        "valloss finalvalloss validationloss finalvalidationloss evalloss evaluationloss testloss finaltestloss heldoutloss "
        "valce valcrossentropy",
        "bpb bitsperbyte valbpb bpc bitsperchar",
        "trainloss finaltrainloss trainingloss finaltrainingloss smoothedtrainloss",
    ), "L"),
    "params_non_embedding": Known("count", (
        "paramsnonembedding nonembeddingparams nonembeddingparameters nonembparams paramsnoembedding nnonembedding "
        "nonembedding paramswithoutembedding paramswithoutembeddings paramsnonemb",
    )),
    "unique_tokens": Known("count", ("uniquetokens nuniquetokens uniquedata uniquedatatokens uniquedatasize",)),
    "width": Known("count", ("width dmodel hiddensize hiddendim modeldim embeddim embeddingdim nembd modelwidth",)),
    "depth": Known("count", ("depth nlayers nlayer numlayers layers numhiddenlayers numberoflayers",)),
    "heads": Known("count", ("heads nheads nhead numheads numattentionheads attentionheads",)),
    "vocab_size": Known("count", ("vocabsize vocab nvocab vocabularysize",)),
    "seqlen": Known("count", ("seqlen seqlength sequencelength contextlength ctxlen nctx blocksize context maxseqlen",)),
    "batch_size": Known("count", ("batchsize globalbatchsize tokensperbatch batchtokens batchsizetokens bs",)),
    "lr": Known("number", ("lr learningrate maxlr peaklr peaklearningrate maxlearningrate",)),
    "final_lr": Known("number", ("finallr minlr endlr finallearningrate minlearningrate endlearningrate",)),
    "step": Known("count", ("step steps iteration iterations iter globalstep trainstep trainingstep",)),
    "total_steps": Known("count", ("totalsteps maxsteps trainingsteps numsteps nsteps maxiters scheduledsteps",)),
    "decayed": Known("label", ("decayed lrdecayed cooleddown annealed decayfinished",)),
    "seed": Known("label", ("seed randomseed rngseed",)),
    "run": Known("label", ("run runid runname experiment experimentid trial",)),
    "accuracy": Known("number", ("accuracy acc valaccuracy testaccuracy top1 top1accuracy valacc testacc",)),
    "precision": Known("number", ("precision valprecision testprecision",)),
    "recall": Known("number", ("recall valrecall testrecall",)),
    "f1": Known("number", ("f1 f1score macrof1 valf1 testf1",)),
}  # fmt: skip
TRIO = ("params", "tokens", "flops")  # two of them give the third by C = 6 N D
ESSENTIAL = (*TRIO, "loss")

_SYNONYMS = {
    synonym: (ours, tier)
    for ours, known in KNOWN.items()
    for tier, line in enumerate(known.tiers)
    for synonym in line.split()
}
_LETTERS = {known.letter: ours for ours, known in KNOWN.items() if known.letter}
_UNIT = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]{1,20})[)\]]\s*", re.DOTALL)


@dataclass(frozen=True)
class Matched:
    """Our name -> the table's; factors: by our name, where the heading gives a unit; notes: what was guessed."""

    names: dict[str, str]
    factors: dict[str, float]
    notes: list[str]


def match_columns(names: Sequence[str], wanted: str | Mapping[str, str] | None = None) -> Matched:
    """Find our columns among a table's.

    Args:
        names: the table's columns.
        wanted: what the user says, as ``parse_columns`` takes it or as a mapping of our name -> the table's. The rest is guessed
            by synonym; a column the user named is not guessed again.

    Raises:
        InputError: a wanted column is not there, or two columns may be params, tokens, flops or loss: both are named, and how
            to decide. Two that may be some other column leave it unmapped, with a note.
    """
    chosen = _wanted(names, wanted)
    found, notes = dict(chosen), []
    candidates: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if name in chosen.values():
            continue
        ours, tier = _guess(name)
        if ours and ours not in chosen:
            candidates.setdefault(ours, []).append((tier, name))
    for ours, rivals in candidates.items():
        best = min(tier for tier, _ in rivals)
        ties = [name for tier, name in rivals if tier == best]
        if len(ties) > 1:
            what = f"{' and '.join(repr(name) for name in ties)} may each be {ours}"
            if ours in ESSENTIAL:
                raise InputError(f"{what}; decide by --columns {ours}=NAME")
            notes.append(f"{what}: not used as such; decide by --columns {ours}=NAME")
            continue
        found[ours] = ties[0]
        if ties[0] != ours:
            others = [name for _, name in rivals if name != ties[0]]
            rest = f" (not {listed(others)})" if others else ""
            notes.append(f"{ours} is read from column {ties[0]!r}{rest}, by its name")
    factors = {}
    for ours, name in found.items():
        unit = _UNIT.fullmatch(name)
        factor = scale_of(unit[2]) if unit else None
        if _normalised(name) == "pfdays":
            factor = scale_of("PF-days")
        if factor not in (None, 1.0) and ours in KNOWN and KNOWN[ours].kind in ("count", "flops"):
            factors[ours] = factor
            notes.append(f"{ours} is {name!r} times {factor:g}, the unit in its heading")
    return Matched(found, factors, notes)


def parse_columns(text: str) -> list[list[tuple[str, str]]]:
    """Parse ``params=Model Size,tokens=D|flops=C,loss=val``: each item in turn, alternatives (the first that is there counts).

    Names that hold ``, | =`` are quoted by ` or ".

    Raises:
        InputError: an item is not OURS=THEIRS, or one of ours is named twice.
    """
    items = []
    for item in _split(text, ","):
        pairs = []
        for alternative in _split(item, "|"):
            parts = [part.strip() for part in _split(alternative, "=")]
            if len(parts) != 2:
                raise InputError(f"columns: {alternative.strip()!r}, expected OURS=THEIRS such as params=N")
            ours, name = parts
            quoted = len(name) > 2 and name[0] == name[-1] and name[0] in '`"'
            pairs.append((ours, name[1:-1].replace(name[0] * 2, name[0]) if quoted else name))
        items.append(pairs)
    ours = [name for pairs in items for name in dict(pairs)]
    for name in ours:
        if ours.count(name) > 1:
            raise InputError(f"columns: {name!r} is named twice, expected once")
    return items


def _wanted(names: Sequence[str], wanted: str | Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(wanted, str):
        items = parse_columns(wanted) if wanted.strip() else []
    else:
        items = [[(ours, str(theirs))] for ours, theirs in (wanted or {}).items()]
    chosen = {}
    for pairs in items:
        there = [(ours, theirs) for ours, theirs in pairs if theirs in names]
        if not there:
            missing = " or ".join(repr(theirs) for _, theirs in pairs)
            raise InputError(f"no column {missing}, has {listed(names)}")
        chosen[there[0][0]] = there[0][1]
    return chosen


def _guess(name: str) -> tuple[str | None, int]:
    """Return which of ours a name is, with its tier: -1 for our own spelling."""
    if name in KNOWN:
        return name, -1
    bare = _without_unit(name)
    if bare in _LETTERS:
        return _LETTERS[bare], 0
    return _SYNONYMS.get(_normalised(name), (None, 0))


def _normalised(name: str) -> str:
    bare = re.sub(r"^(config|summary)[./]", "", _without_unit(name).lower())
    return re.sub(r"[\W_]+", "", bare)


def _without_unit(name: str) -> str:
    unit = _UNIT.fullmatch(name)
    return (unit[1] if unit else name).strip()


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside quotes."""
    parts = re.findall(rf'(?:`[^`]*`|"[^"]*"|[^{re.escape(separator)}])+', text)
    return [part for part in parts if part.strip()]
