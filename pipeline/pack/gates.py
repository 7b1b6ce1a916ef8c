"""Which clips pass: thresholds of the configuration against the figures that the stages recorded. Pure."""

from collections.abc import Mapping

from pipeline.config import GatesConfig


def refusals(
    kind: str, status: Mapping[str, str], quality: Mapping[str, Mapping[str, float]], gates: GatesConfig
) -> list[str]:
    """Why a clip is left out, in words; empty if it passes.

    status: by stage. quality: figures by stage. A rule whose figure was not recorded for the clip lets it pass.
    """
    reasons = []
    refused = [gates.refuse_status] + ([gates.refuse_status_character] if kind == "character" else [])
    for table in refused:
        for stage, words in table.items():
            if status.get(stage) in words:
                reasons.append(f"{stage} is {status[stage]!r}")
    for rule in gates.rules:
        value = quality.get(rule.stage, {}).get(rule.figure)
        if value is None or kind not in rule.kinds:
            continue
        if rule.minimum is not None and value < rule.minimum:
            reasons.append(f"{rule.stage}.{rule.figure} = {value:.4g} is below {rule.minimum:g}")
        if rule.maximum is not None and value > rule.maximum:
            reasons.append(f"{rule.stage}.{rule.figure} = {value:.4g} is above {rule.maximum:g}")
    return reasons
