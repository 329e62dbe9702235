"""What a model has seen, also through others: its encoder, its teacher, the generator of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.plugin.checking import Finding
from dermae_bench.suite.lineage import Lineage
from dermae_bench.suite.places import specs

Seen = tuple[frozenset[str], frozenset[str]]
"""(real splits, generators)."""


def behind_images(suite: Mapping[str, Any], names: Any) -> Seen:
    """Everything that stands behind some image sets: their real splits, and those their generators were fitted on.

    Args:
        suite: normalised JSON of the suite.
        names: one image set or a list of them.
    """
    lineage = Lineage(suite)
    splits, left = (set(found) for found in lineage.of(names))
    generators: set[str] = set()
    while left:
        name = left.pop()
        generators.add(name)
        images = (lineage.generators.get(name) or {}).get("images")
        real, drawn = lineage.of(images)
        splits |= real
        left |= set(drawn) - generators
    return frozenset(splits), frozenset(generators)


def behind_generator(suite: Mapping[str, Any], name: str) -> Seen:
    """Everything that a generator was fitted on, itself included among the generators."""
    splits, generators = behind_images(suite, (suite["generators"][name] or {}).get("images"))
    return splits, generators | {name}


def behind_classifier(suite: Mapping[str, Any], name: str, train: str | Sequence[str]) -> Seen:
    """Everything that a classifier learnt from when it is fitted on `train`."""
    sets = [train if isinstance(train, str) else list(train)]
    sets += [names for _, names in seen_through_others(suite, name)]
    found = [behind_images(suite, names) for names in sets]
    generators = frozenset[str]().union(*(generators for _, generators in found))
    source = suite["classifiers"][name].get("from")
    if isinstance(source, Mapping):
        generators |= {str(source["generator"])}
    return frozenset[str]().union(*(splits for splits, _ in found)), generators


def seen_through_others(suite: Mapping[str, Any], classifier: Any) -> Iterator[tuple[str, Any]]:
    """(through whom, image sets) that a classifier learns from besides its own training set, at any depth."""
    visited: set[str] = set()
    while (entry := _spec(suite, "classifiers", classifier)) is not None and classifier not in visited:
        visited.add(classifier)
        encoder = _spec(suite, "pretrained", entry.get("init"))
        if encoder is not None:
            yield f"its encoder {entry['init']!r}", encoder.get("images")
        source, teacher = entry.get("from"), entry.get("teacher")
        name = source.get("generator") if isinstance(source, dict) else None
        generator = _spec(suite, "generators", name)
        if generator is not None:
            yield f"the generator {name!r}", generator.get("images")
        if not isinstance(teacher, dict):
            return
        classifier = teacher.get("classifier")
        yield f"its teacher {classifier!r}", teacher.get("train")


def _spec(suite: Mapping[str, Any], section: str, name: Any) -> Mapping[str, Any] | None:
    held = suite.get(section)
    entry = held.get(name) if isinstance(held, dict) and isinstance(name, str) else None
    return entry if isinstance(entry, dict) else None


def judge_findings(suite: Mapping[str, Any]) -> Iterator[Finding]:
    """Judges that have seen generated images through an encoder or a teacher."""
    lineage = Lineage(suite)
    for at, entry in specs(suite, "sample_metrics"):
        judge = entry.get("judge")
        if isinstance(judge, dict):
            for how, names in seen_through_others(suite, judge.get("classifier")):
                seen = lineage.of(names)[1]
                if seen:
                    message = (
                        f"a judge may only have seen real images; {judge['classifier']!r} learns from samples of "
                        f"{', '.join(sorted(seen))} through {how}"
                    )
                    yield Finding((*at, "judge", "classifier"), message, "choose a classifier without it")
