"""Which clips pass: thresholds of the configuration against the figures that the stages recorded. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.config import Gate, GatesConfig

Figures = Mapping[str, Mapping[str, float]]
"""Quality figures by stage."""


def refusals(kind: str, status: Mapping[str, str], quality: Figures, gates: GatesConfig) -> list[str]:
    """Why a clip is left out, in words; empty if it passes.

    status: by stage. A rule whose figure was not recorded for the clip lets it pass.
    """
    reasons = []
    refused = [gates.refuse_status] + ([gates.refuse_status_character] if kind == "character" else [])
    for table in refused:
        for stage, words in table.items():
            if status.get(stage) in words:
                reasons.append(f"{stage} is {status[stage]!r}")
    return [*reasons, *_breaches(kind, quality, gates.rules)]


def warnings(kind: str, quality: Figures, gates: GatesConfig) -> list[str]:
    """What is doubtful about a clip, in words, with what to do."""
    return list(_breaches(kind, quality, gates.warnings))


def judged_stages(gates: GatesConfig) -> frozenset[str]:
    """Stages whose figures rules and warnings look at."""
    return frozenset(rule.stage for rule in (*gates.rules, *gates.warnings))


def _breaches(kind: str, quality: Figures, rules: Sequence[Gate]) -> Iterator[str]:
    for rule in rules:
        value = quality.get(rule.stage, {}).get(rule.figure)
        if value is None or kind not in rule.kinds:
            continue
        advice = f" ({rule.advice})" if rule.advice else ""
        if rule.minimum is not None and value < rule.minimum:
            yield f"{rule.stage}.{rule.figure} = {value:.4g} is below {rule.minimum:g}{advice}"
        if rule.maximum is not None and value > rule.maximum:
            yield f"{rule.stage}.{rule.figure} = {value:.4g} is above {rule.maximum:g}{advice}"
